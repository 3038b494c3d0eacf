import { existsSync } from "node:fs";
import { GrpcChannel, GrpcFormatError, GrpcStatusError, GrpcTransportError } from "gobgp-client/grpc";
import { namespaceOfInfo } from "./info-namespace.ts";
import {
  containersRequest,
  type PodSandbox,
  parseContainerIds,
  parseInfo,
  parseSandboxes,
  readySandboxesRequest,
  verboseStatusRequest,
} from "./runtime-messages.ts";

/** Where container runtimes listen: containerd, CRI-O, and the containerd that k3s and k0s bring along. */
export const WELL_KNOWN_SOCKETS: readonly string[] = [
  "/run/containerd/containerd.sock",
  "/run/crio/crio.sock",
  "/run/k3s/containerd/containerd.sock",
  "/run/k0s/containerd.sock",
];

/** Retry: the container runtime is away, slow, or answers something that cannot be used. */
export class ContainerRuntimeError extends Error {
  override readonly name = "ContainerRuntimeError";
}

/** A kubelet takes no longer answers either. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
const TIMEOUT_MS = 5_000;
/** gRPC's status codes: https://grpc.io/docs/guides/status-codes/ */
const NOT_FOUND = 5;
const UNIMPLEMENTED = 12;

export interface ContainerRuntimeOptions {
  /** Sockets of which one is the runtime's, in this order. */
  readonly sockets: readonly string[];
  readonly signal: AbortSignal;
  readonly timeoutMs?: number;
}

/** The container runtime of this node, over the container runtime interface (CRI, runtime.v1). Asks, and changes nothing. */
export class ContainerRuntime {
  readonly #options: ContainerRuntimeOptions;
  #open: { readonly socket: string; readonly channel: GrpcChannel } | undefined;
  /** Where to look for a socket next: the one after what failed last. */
  #next = 0;

  constructor(options: ContainerRuntimeOptions) {
    this.#options = options;
  }

  /** The sandboxes that are ready. @throws ContainerRuntimeError; the signal's reason. */
  readySandboxes(): Promise<readonly PodSandbox[]> {
    return this.#ask("ListPodSandbox", readySandboxesRequest(), parseSandboxes);
  }

  /**
   * The path of a sandbox's network namespace as the host knows it: the sandbox's own word, else a container's in it.
   * @returns undefined when it has none of its own, or is gone.
   * @throws ContainerRuntimeError; the signal's reason.
   */
  async networkNamespace(sandbox: string): Promise<string | undefined> {
    try {
      const own = await this.#status("PodSandboxStatus", sandbox);
      if (own !== undefined) return own;
      for (const id of await this.#ask("ListContainers", containersRequest(sandbox), parseContainerIds)) {
        const path = await this.#status("ContainerStatus", id);
        if (path !== undefined) return path;
      }
    } catch (error) {
      const isGone = error instanceof Error && error.cause instanceof GrpcStatusError && error.cause.code === NOT_FOUND;
      if (!isGone) throw error;
    }
    return undefined;
  }

  close(): void {
    this.#open?.channel.close();
    this.#open = undefined;
  }

  #status(method: "PodSandboxStatus" | "ContainerStatus", id: string): Promise<string | undefined> {
    return this.#ask(method, verboseStatusRequest(id), (answer) => {
      const info = parseInfo(answer);
      return info === undefined ? undefined : namespaceOfInfo(info);
    });
  }

  async #ask<T>(method: string, request: Buffer, parse: (answer: Buffer) => T): Promise<T> {
    const { signal, timeoutMs = TIMEOUT_MS } = this.#options;
    const { socket, channel } = this.#connection();
    try {
      return parse(await channel.unary(`/runtime.v1.RuntimeService/${method}`, request, { signal, timeoutMs }));
    } catch (error) {
      signal.throwIfAborted();
      const known = [GrpcTransportError, GrpcStatusError, GrpcFormatError, RangeError].some((e) => error instanceof e);
      if (!known || !(error instanceof Error)) throw error;
      // Nobody is there any more, or somebody who does not speak this: another socket may be the runtime's.
      const isElsewhere =
        error instanceof GrpcStatusError ? error.code === UNIMPLEMENTED : !(error instanceof RangeError);
      if (isElsewhere) this.close();
      throw new ContainerRuntimeError(`${method} of the container runtime at ${socket}: ${error.message}`, {
        cause: error,
      });
    }
  }

  #connection(): { readonly socket: string; readonly channel: GrpcChannel } {
    if (this.#open !== undefined) return this.#open;
    const { sockets } = this.#options;
    const inTurn = sockets.map((_, i) => (this.#next + i) % sockets.length);
    const at = inTurn.find((i) => existsSync(sockets[i] ?? ""));
    const socket = at === undefined ? undefined : sockets[at];
    if (at === undefined || socket === undefined) {
      throw new ContainerRuntimeError(`no container runtime listens at ${sockets.join(" or ")}`);
    }
    this.#next = at + 1;
    const channel = new GrpcChannel({ kind: "unix", path: socket }, { maxMessageBytes: MAX_MESSAGE_BYTES });
    this.#open = { socket, channel };
    return this.#open;
  }
}
