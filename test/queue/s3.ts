/**
 * A small S3 of the tests' own: buckets in memory, and signatures checked as "Authenticating Requests (AWS Signature Version 4)" of
 * Amazon's API reference says, with no code of the client's.
 */
import { createHash, createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export const CREDENTIALS = { AWS_ACCESS_KEY_ID: "AKIATEST", AWS_SECRET_ACCESS_KEY: "kept/to+itself" };

const sha256 = (data: string | Buffer): string => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();

/** The signature that a request should have; undefined where it has none. */
function signatureOf(
  request: IncomingMessage,
  payloadHash: string,
): { is: string; should: string } | undefined {
  const [, scope = "", names = "", is = ""] =
    /^AWS4-HMAC-SHA256 Credential=AKIATEST\/([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      request.headers.authorization ?? "",
    ) ?? [];
  if (is === "") return undefined;
  const headers = names.split(";").map((name) => `${name}:${String(request.headers[name]).trim()}\n`);
  const canonical = [request.method, request.url, "", headers.join(""), names, payloadHash].join("\n");
  const [date = "", region = "", service = "", end = ""] = scope.split("/");
  const toSign = ["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, sha256(canonical)].join("\n");
  const key = [date, region, service, end].reduce<string | Buffer>(hmac, "AWS4kept/to+itself");
  return { is, should: hmac(key, toSign).toString("hex") };
}

export class TestS3 {
  /** Objects by their paths, "/bucket/key". */
  readonly objects = new Map<string, Buffer>();
  /** Requests that were granted: "PUT /bucket/key". */
  readonly granted: string[] = [];
  readonly #buckets: readonly string[];
  readonly #server: Server;

  private constructor(buckets: readonly string[]) {
    this.#buckets = buckets;
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(...buckets: readonly string[]): Promise<TestS3> {
    const s3 = new TestS3(buckets);
    await new Promise<void>((resolve) => s3.#server.listen(0, "127.0.0.1", resolve));
    return s3;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = Buffer.concat(await request.toArray());
    const refuse = (status: number, code: string): void =>
      void response
        .writeHead(status)
        .end(request.method === "HEAD" ? "" : `<Error><Code>${code}</Code></Error>`);
    const { method = "", url = "" } = request;
    const claimed = String(request.headers["x-amz-content-sha256"]);
    if (claimed !== "UNSIGNED-PAYLOAD" && claimed !== sha256(body))
      return refuse(400, "XAmzContentSHA256Mismatch");
    const signature = signatureOf(request, claimed);
    if (signature === undefined) return refuse(403, "InvalidAccessKeyId");
    if (signature.is !== signature.should) return refuse(403, "SignatureDoesNotMatch");
    this.granted.push(`${method} ${url}`);
    if (!this.#buckets.includes(url.split("/")[1] ?? "")) return refuse(404, "NoSuchBucket");
    if (method === "PUT") {
      this.objects.set(url, body);
      response.end();
      return;
    }
    const object = this.objects.get(url);
    if (object === undefined) return refuse(404, "NoSuchKey");
    response.writeHead(200, { "content-length": object.length }).end(method === "HEAD" ? "" : object);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
