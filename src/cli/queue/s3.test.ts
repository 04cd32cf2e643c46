import { describe, expect, it } from "vitest";
import { bucketAt, objectsUrl } from "./s3.ts";

describe("where a bucket's objects are", () => {
  it.each([
    ["s3://bucket/some/prefix/", {}, "https://bucket.s3.us-east-1.amazonaws.com/some/prefix"],
    ["s3://bucket", { AWS_REGION: "eu-west-1" }, "https://bucket.s3.eu-west-1.amazonaws.com"],
    ["s3://bucket/in", { AWS_ENDPOINT_URL: "http://minio:9000/" }, "http://minio:9000/bucket/in"],
    [
      "s3://bucket",
      { AWS_ENDPOINT_URL: "http://other", AWS_ENDPOINT_URL_S3: "https://s3.example" },
      "https://s3.example/bucket",
    ],
    [
      "https://s3.example:9000/bucket/in",
      { AWS_ENDPOINT_URL: "http://other" },
      "https://s3.example:9000/bucket/in",
    ],
  ])("of %s, with %o", (where, env, url) => {
    expect(objectsUrl(where, env)).toBe(url);
  });

  it.each(["s3:///prefix", "https://s3.example", "https://"])("is not said by %s", (where) => {
    expect(() => objectsUrl(where, {})).toThrow(/--inputs: /);
  });

  it("is said without credentials, which come from the environment", () => {
    expect(() => objectsUrl("https://me:s3cret@s3.example/bucket", {})).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining("s3cret") }),
    );
    expect(() => bucketAt("s3://bucket", { AWS_ACCESS_KEY_ID: "AKIA" })).toThrow(/there are no credentials/);
  });
});
