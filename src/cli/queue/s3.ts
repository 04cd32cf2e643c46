/** Inputs in a bucket of an S3-compatible store: objects whose names are their SHA-256, below a prefix. */
import { createWriteStream, openAsBlob } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";
import { AwsClient } from "aws4fetch";
import { UserError } from "../../common/errors.ts";
import { fileError } from "../files.ts";
import type { InputStore } from "./input-stores.ts";

type Env = Readonly<Record<string, string | undefined>>;

const DEFAULT_REGION = "us-east-1";
/** So often what fails on the server's side, or is asked too fast, is tried again: with pauses that double from 50 ms on. */
const RETRIES = 5;

const regionOf = (env: Env): string => env["AWS_REGION"] || env["AWS_DEFAULT_REGION"] || DEFAULT_REGION;

/** Where a bucket's objects are: path style, but for Amazon's own. @throws UserError for what names no bucket */
export function objectsUrl(where: string, env: Env): string {
  let url: URL;
  try {
    url = new URL(where);
  } catch {
    throw new UserError(
      "--inputs: that is no URL",
      "Write s3://BUCKET/PREFIX, or https://HOST/BUCKET/PREFIX",
    );
  }
  if (url.username !== "" || url.password !== "" || url.search !== "")
    throw new UserError(
      "--inputs: the URL has more than a host and a path",
      "Credentials are taken from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    );
  const path = url.pathname.replaceAll(/^\/+|\/+$/g, "");
  const join = (...parts: readonly string[]): string => parts.filter((part) => part !== "").join("/");
  if (url.protocol !== "s3:") {
    if (path === "")
      throw new UserError(`--inputs: ${where} names no bucket`, "Write https://HOST/BUCKET/PREFIX");
    return join(url.origin, path);
  }
  if (url.host === "") throw new UserError(`--inputs: ${where} names no bucket`, "Write s3://BUCKET/PREFIX");
  const endpoint = env["AWS_ENDPOINT_URL_S3"] || env["AWS_ENDPOINT_URL"];
  if (endpoint !== undefined) return join(endpoint.replace(/\/+$/, ""), url.host, path);
  return join(`https://${url.host}.s3.${regionOf(env)}.amazonaws.com`, path);
}

/**
 * A bucket, as --inputs names it.
 * @param env has the credentials, as the tools of Amazon's take them
 * @throws UserError for what names no bucket, and where there are no credentials
 */
export function bucketAt(where: string, env: Env): BucketInputs {
  const url = objectsUrl(where, env);
  const accessKeyId = env["AWS_ACCESS_KEY_ID"];
  const secretAccessKey = env["AWS_SECRET_ACCESS_KEY"];
  if (!accessKeyId || !secretAccessKey)
    throw new UserError(
      `--inputs: there are no credentials for ${where}`,
      "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN where there is one",
    );
  const sessionToken = env["AWS_SESSION_TOKEN"];
  return new BucketInputs(
    url,
    new AwsClient({
      accessKeyId,
      secretAccessKey,
      ...(sessionToken ? { sessionToken } : {}),
      service: "s3",
      region: regionOf(env),
      retries: RETRIES,
    }),
  );
}

/** What a server says in its answer's body: <Code>NoSuchBucket</Code>. */
async function reasonOf(response: Response): Promise<string> {
  const [, code = response.statusText] = /<Code>([^<]*)<\/Code>/.exec(await response.text()) ?? [];
  return code;
}

export class BucketInputs implements InputStore {
  readonly #url: string;
  readonly #client: AwsClient;

  constructor(url: string, client: AwsClient) {
    this.#url = url;
    this.#client = client;
  }

  async has(sha256: string): Promise<boolean> {
    const response = await this.#fetch(sha256, { method: "HEAD" });
    if (response.status === 404) return false;
    if (response.ok) return true;
    throw await this.#refused("looked at", response);
  }

  async put(sha256: string, path: string): Promise<void> {
    const response = await this.#fetch(sha256, {
      method: "PUT",
      body: await openAsBlob(path),
      // The store checks it, and so a truncated upload is none.
      headers: { "x-amz-content-sha256": sha256 },
    });
    if (!response.ok) throw await this.#refused("written to", response);
  }

  async get(sha256: string, to: string): Promise<boolean> {
    const response = await this.#fetch(sha256, { method: "GET" });
    if (response.status === 404 && (await reasonOf(response.clone())) === "NoSuchKey") return false;
    if (!response.ok || response.body === null) throw await this.#refused("read", response);
    try {
      await pipeline(Readable.fromWeb(response.body as ReadableStream), createWriteStream(to));
      return true;
    } catch (error) {
      throw fileError(to, error);
    }
  }

  async #fetch(sha256: string, init: RequestInit): Promise<Response> {
    try {
      return await this.#client.fetch(`${this.#url}/${sha256}`, init);
    } catch (error) {
      const { cause = error } = error as { readonly cause?: unknown };
      throw new UserError(
        `--inputs: ${this.#url} cannot be reached: ${cause instanceof Error ? cause.message : String(cause)}`,
        "Name another endpoint with AWS_ENDPOINT_URL; NODE_EXTRA_CA_CERTS names certificates to trust",
      );
    }
  }

  async #refused(what: string, response: Response): Promise<UserError> {
    const reason = await reasonOf(response);
    const remedy =
      response.status === 403
        ? "Look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, and at what they may do there"
        : "";
    return new UserError(`--inputs: ${this.#url} cannot be ${what}: ${response.status} ${reason}`, remedy);
  }
}
