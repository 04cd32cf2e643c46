import { expect, it } from "vitest";
import { PolicyEvents } from "./policy-events.ts";

it("tells at once where nothing is going on", () => {
  const events = new PolicyEvents();
  const told: string[] = [];
  events.tell(() => told.push("a"));
  expect(told).toEqual(["a"]);
});

it("tells in order, once the outermost work is over", () => {
  const events = new PolicyEvents();
  const told: string[] = [];
  events.enter();
  events.enter();
  events.tell(() => told.push("a"));
  events.tell(() => told.push("b"));
  events.leave();
  expect(told).toEqual([]);
  events.leave();
  expect(told).toEqual(["a", "b"]);
});

it("never nests handlers: what one of them causes is told after it", () => {
  const events = new PolicyEvents();
  const told: string[] = [];
  events.tell(() => {
    events.tell(() => told.push("caused"));
    told.push("handler");
  });
  expect(told).toEqual(["handler", "caused"]);
});
