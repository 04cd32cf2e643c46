import { DONE, type PinPolicy } from "../policy.ts";

export const firstFault: PinPolicy = {
  name: "first-fault",
  summary: "Pins nothing at an enable; the SPU's first stage-2 fault pins all that is left of the buffer.",
  origin: "Option 4 of the discussion of July 2022: pin the buffer at the first SPE fault.",
  tradeOff:
    "A buffer that nothing is written to is never pinned. Each reprogramming may cost one blackout, the SPU may drop " +
    "the record, and KVM cannot tell an expected fault from a bug of its own. Held until another fault or the VM's end.",
  trapsBuffer: true,
  create: () => ({
    onStage2Fault(fault, ctx) {
      const { buffer } = ctx;
      if (buffer === undefined) return ctx.mapFault(fault);
      const walk = ctx.walk(buffer);
      if (walk.kind !== "walked") return ctx.mapFault(fault);
      ctx.unpin(ctx.pinned.minus(walk.all));
      // Without memlock or memory for all of it, the page that is needed now must do.
      if (ctx.pin(walk.all).kind !== "done" || ctx.map(walk.all).kind !== "done") return ctx.mapFault(fault);
      ctx.report(walk);
      return DONE;
    },
  }),
};
