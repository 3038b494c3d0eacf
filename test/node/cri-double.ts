import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bytesField, fieldsOf, varintField } from "../../node/cri/protobuf-fields.ts";

/** How a runtime tells where a sandbox's network namespace is: docs/decisions/026. */
export type RuntimeShape = "containerd" | "cri-o" | "cri-o without infra" | "older cri-o";

export interface DoubleSandbox {
  readonly id: string;
  /** `namespace/name` */
  readonly pod: string;
  readonly path: string;
  readonly ready?: boolean;
}

/** A request, as the method and the one value that is in it. */
export type Asked = readonly [method: string, of: string];

class GrpcFault extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}
const INVALID_ARGUMENT = 3;
const NOT_FOUND = 5;
const UNIMPLEMENTED = 12;

/** What a request may hold: `[field, kind]`. Anything else is refused, as is a field that comes twice. */
type Allowed = Readonly<Record<number, "bytes" | "varint">>;

function strictly(message: Buffer, allowed: Allowed): ReadonlyMap<number, Buffer | bigint> {
  const found = new Map<number, Buffer | bigint>();
  for (const { number, kind, value } of fieldsOf(message)) {
    if (allowed[number] !== kind) throw new GrpcFault(INVALID_ARGUMENT, `field ${number} as ${kind}`);
    if (found.has(number)) throw new GrpcFault(INVALID_ARGUMENT, `field ${number} twice`);
    found.set(number, value);
  }
  return found;
}

function bytesOf(fields: ReadonlyMap<number, Buffer | bigint>, number: number): Buffer {
  const value = fields.get(number);
  if (!Buffer.isBuffer(value)) throw new GrpcFault(INVALID_ARGUMENT, `no field ${number}`);
  return value;
}

/**
 * A container runtime that serves runtime.v1 over gRPC on a unix socket, as far as the node agent may ask: a request
 * with a field that its definition does not have, or for a sandbox that is not there, is refused.
 */
export class CriDouble {
  readonly #folder = join(tmpdir(), `cw-cri-${randomUUID().slice(0, 8)}`);
  readonly socket: string;
  shape: RuntimeShape = "containerd";
  sandboxes: readonly DoubleSandbox[] = [];
  asked: Asked[] = [];
  /** What it does instead of answering. */
  fault: "silence" | "garbage" | "long" | "compressed" | "unimplemented" | undefined;
  #server: Http2Server | undefined;
  readonly #sessions = new Set<ServerHttp2Session>();

  /** @param name of the socket in a folder of its own. */
  constructor(name = "cri.sock") {
    this.socket = join(this.#folder, name);
  }

  async start(): Promise<void> {
    mkdirSync(this.#folder, { recursive: true });
    const server = createServer();
    server.on("session", (session) => {
      this.#sessions.add(session);
      session.on("error", () => undefined);
      session.on("close", () => this.#sessions.delete(session));
    });
    server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      const chunks: Buffer[] = [];
      stream.on("error", () => undefined);
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => this.#respond(stream, String(headers[":path"]), headers, Buffer.concat(chunks)));
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.socket, resolve));
  }

  /** As a runtime that is killed: connections break, the socket's file goes. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const session of this.#sessions) session.destroy();
    await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  }

  async close(): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #respond(stream: ServerHttp2Stream, path: string, headers: IncomingHttpHeaders, framed: Buffer): void {
    if (this.fault === "silence" || stream.destroyed) return;
    try {
      if (this.fault === "unimplemented")
        throw new GrpcFault(UNIMPLEMENTED, "unknown service runtime.v1.RuntimeService");
      if (!String(headers["content-type"]).startsWith("application/grpc") || headers.te !== "trailers") {
        throw new GrpcFault(INVALID_ARGUMENT, "not a gRPC request");
      }
      if (framed.length < 5 || framed[0] !== 0 || framed.readUInt32BE(1) !== framed.length - 5) {
        throw new GrpcFault(INVALID_ARGUMENT, "not one frame");
      }
      const answer = this.#answer(path, framed.subarray(5));
      const head = Buffer.alloc(5);
      head.writeUInt32BE(this.fault === "long" ? 0x7fffffff : answer.length, 1);
      if (this.fault === "compressed") head[0] = 1;
      const body = this.fault === "garbage" ? Buffer.alloc(answer.length, 0xff) : answer;
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(Buffer.concat([head, body]));
    } catch (error) {
      const code = error instanceof GrpcFault ? error.code : 13;
      const message = encodeURIComponent(error instanceof Error ? error.message : String(error));
      stream.respond(
        { ":status": 200, "content-type": "application/grpc", "grpc-status": `${code}`, "grpc-message": message },
        { endStream: true },
      );
    }
  }

  #answer(path: string, request: Buffer): Buffer {
    const method = /^\/runtime\.v1\.RuntimeService\/([A-Za-z]+)$/.exec(path)?.[1] ?? path;
    switch (method) {
      case "ListPodSandbox":
        return this.#list(request);
      case "PodSandboxStatus":
      case "ContainerStatus": {
        const fields = strictly(request, { 1: "bytes", 2: "varint" });
        if (fields.get(2) !== 1n) throw new GrpcFault(INVALID_ARGUMENT, "not verbose: there is no info");
        const id = bytesOf(fields, 1).toString();
        this.asked.push([method, id]);
        return bytesField(2, Buffer.concat([bytesField(1, "info"), bytesField(2, this.#info(method, id))]));
      }
      case "ListContainers": {
        const filter = strictly(bytesOf(strictly(request, { 1: "bytes" }), 1), { 3: "bytes" });
        const id = bytesOf(filter, 3).toString();
        this.asked.push([method, id]);
        this.#sandbox(id);
        return bytesField(1, Buffer.concat([bytesField(1, `${id}-c1`), bytesField(2, id), varintField(6, 1)]));
      }
      default:
        throw new GrpcFault(UNIMPLEMENTED, `unknown method ${method}`);
    }
  }

  #list(request: Buffer): Buffer {
    const filter = strictly(bytesOf(strictly(request, { 1: "bytes" }), 1), { 2: "bytes" });
    const state = strictly(bytesOf(filter, 2), { 1: "varint" }).get(1) ?? 0n;
    this.asked.push(["ListPodSandbox", `state ${state}`]);
    const listed = [...this.sandboxes.entries()].filter(([, { ready = true }]) => ready === (state === 0n));
    return Buffer.concat(
      listed.map(([at, { id, pod, ready = true }]) => {
        const [namespace = "", name = ""] = pod.split("/");
        const metadata = [bytesField(1, name), bytesField(2, `uid-${name}`), bytesField(3, namespace)];
        const label = Buffer.concat([bytesField(1, "io.kubernetes.pod.name"), bytesField(2, name)]);
        const parts = [
          bytesField(1, id),
          bytesField(2, Buffer.concat(metadata)),
          varintField(3, ready ? 0 : 1),
          varintField(4, 1_000_000 + at),
          bytesField(5, label),
          bytesField(7, "runc"),
        ];
        return bytesField(1, Buffer.concat(parts));
      }),
    );
  }

  #sandbox(id: string): DoubleSandbox {
    const found = this.sandboxes.find((sandbox) => sandbox.id === id);
    if (found === undefined) throw new GrpcFault(NOT_FOUND, `no sandbox ${id}`);
    return found;
  }

  #info(method: "PodSandboxStatus" | "ContainerStatus", id: string): string {
    const { path } = this.#sandbox(method === "ContainerStatus" ? id.replace(/-c1$/, "") : id);
    const runtimeSpec = { ociVersion: "1.2.0", linux: { namespaces: [{ type: "pid" }, { type: "network", path }] } };
    if (method === "ContainerStatus") return JSON.stringify({ sandboxID: id, pid: 8, runtimeSpec, privileged: false });
    switch (this.shape) {
      case "containerd":
        return JSON.stringify({ pid: 7, processStatus: "running", netNamespaceClosed: false, runtimeSpec });
      case "cri-o":
        return JSON.stringify({ image: "pause:3.10", pid: 7, runtimeSpec });
      case "cri-o without infra":
        return JSON.stringify({ runtimeSpec });
      case "older cri-o":
        return "{}";
    }
  }
}
