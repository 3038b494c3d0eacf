import { setTimeout as sleep } from "node:timers/promises";
import { backoffMs } from "./backoff.ts";
import { Check } from "./check.ts";
import type { Dialect, DialectName, ListedPeer } from "./dialect.ts";
import { BgpAlreadyRunningError, DaemonUnreachableError, UnsupportedByDaemonError } from "./errors.ts";
import { type BgpGlobal, checkGlobal, globalDifferences, type StartBgpOptions } from "./global.ts";
import { type CallOptions, GrpcStatusError, parseAddress } from "./grpc-channel.ts";
import { checkPath, type Path, type PathConfig, type PathQuery } from "./path.ts";
import { checkPeer, type Peer, type PeerConfig, type WirePeer } from "./peer.ts";
import { type PeerPolicies, planPolicies } from "./policy.ts";
import { grpcCode, translateError } from "./translate-error.ts";
import { TypedChannel } from "./typed-channel.ts";
import { type PeerEvent, type RouteEvent, type WatchContext, watchPeerEvents, watchRouteEvents } from "./watch.ts";

export interface ConnectOptions {
  /** `host:port`, `[ipv6]:port` or `unix:///path/to/socket`: what gobgpd got as `--api-hosts`. */
  readonly address: string;
  /** Closes the client and ends its watches. */
  readonly signal?: AbortSignal;
  /** How long to wait for a daemon that does not answer yet. Default 10,000. */
  readonly connectTimeoutMs?: number;
  /** For each call. Default 5,000. */
  readonly callTimeoutMs?: number;
  /** How often a watch asks a silent daemon whether it is alive. Default 5,000. */
  readonly livenessIntervalMs?: number;
  /** Spreads reconnects. Default `Math.random`. */
  readonly random?: () => number;
}

/**
 * One gobgpd, 3.x or 4.x. Every method throws a class of `GobgpError`; `InvalidArgumentError` is thrown before anything
 * is sent. The daemon goes on advertising after this client, and its process, are gone.
 */
export class GobgpClient {
  readonly #channel: TypedChannel;
  readonly #dialect: Dialect;
  readonly #address: string;
  readonly #closing = new AbortController();
  readonly #callTimeoutMs: number;
  readonly #livenessIntervalMs: number;
  readonly #random: () => number;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(channel: TypedChannel, dialect: Dialect, options: ConnectOptions & CheckedTimes) {
    this.#channel = channel;
    this.#dialect = dialect;
    this.#address = options.address;
    this.#callTimeoutMs = options.callTimeoutMs;
    this.#livenessIntervalMs = options.livenessIntervalMs;
    this.#random = options.random ?? Math.random;
    options.signal?.addEventListener("abort", () => this.close(), { once: true, signal: this.#closing.signal });
  }

  /** Waits until the daemon answers and learns from the answer which version's interface it has. */
  static async connect(options: ConnectOptions): Promise<GobgpClient> {
    const check: Check = new Check("connect");
    const address = parseAddress(String(options.address));
    if (!address) check.fail("address", `"${options.address}" is not host:port, [ipv6]:port or unix:///path`);
    const times = checkTimes(check, options);
    const random = options.random ?? Math.random;
    const deadline = performance.now() + times.connectTimeoutMs;
    const channel = new TypedChannel(address);
    try {
      for (let attempt = 1; ; attempt++) {
        options.signal?.throwIfAborted();
        const left = Math.max(1, Math.ceil(deadline - performance.now()));
        const timeoutMs = Math.min(times.callTimeoutMs, left);
        try {
          const dialect = await detect(channel, { timeoutMs, ...(options.signal ? { signal: options.signal } : {}) });
          return new GobgpClient(channel, dialect, { ...options, ...times });
        } catch (cause) {
          options.signal?.throwIfAborted();
          const error = translateError("connect", "daemon", options.address, cause);
          const delay = backoffMs(attempt, random);
          if (!(error instanceof DaemonUnreachableError) || performance.now() + delay >= deadline) throw error;
          await sleep(delay, undefined, options.signal ? { signal: options.signal } : {});
        }
      }
    } catch (error) {
      channel.close();
      throw error;
    }
  }

  /** Which interface the daemon has. */
  get dialect(): DialectName {
    return this.#dialect.name;
  }

  /** The speaker's settings, or undefined while BGP is not started. */
  async getBgp(): Promise<BgpGlobal | undefined> {
    return this.#call("GetBgp", "BGP", (options) => this.#dialect.getBgp(options));
  }

  /**
   * Starts the speaker unless it runs with the same settings already. gobgpd itself would empty its RIB without a word on
   * a second start: with other settings this throws `BgpAlreadyRunningError` instead.
   */
  async startBgp(options: StartBgpOptions): Promise<"started" | "unchanged"> {
    const wanted = checkGlobal(options);
    return this.#inTurn(async () => {
      const running = await this.getBgp();
      if (running) {
        const differences = globalDifferences(running, wanted);
        if (differences.length > 0) throw new BgpAlreadyRunningError(differences);
        return "unchanged";
      }
      await this.#call("StartBgp", `AS ${wanted.asn}`, (call) => this.#dialect.startBgp(wanted, call));
      return "started";
    });
  }

  /** Ends all sessions and forgets peers and paths. */
  async stopBgp(): Promise<void> {
    await this.#inTurn(() => this.#call("StopBgp", "BGP", (options) => this.#dialect.stopBgp(options)));
  }

  async addPeer(config: PeerConfig): Promise<void> {
    const peer = checkPeer(config);
    await this.#inTurn(() => this.#addPeer(peer));
  }

  /**
   * Makes the peer what `config` says. A peer that differs in anything is removed and added, so its session resets:
   * gobgpd's own update leaves many changed settings (password, TTL, timers) without effect.
   */
  async updatePeer(config: PeerConfig): Promise<"added" | "unchanged" | "reset"> {
    const peer = checkPeer(config);
    return this.#inTurn(async () => {
      const [listed] = await this.#listPeers(peer.address);
      if (listed?.isConfiguredAs(peer)) return "unchanged";
      this.#refuseBfd(peer);
      if (listed) await this.#deletePeer(peer.address);
      await this.#addPeer(peer);
      return listed ? "reset" : "added";
    });
  }

  /** Whether there was such a peer. */
  async deletePeer(address: string): Promise<boolean> {
    const checked = new Check("peer").address("address", address);
    return this.#inTurn(async () => {
      const [listed] = await this.#listPeers(checked);
      if (listed) await this.#deletePeer(checked);
      return listed !== undefined;
    });
  }

  async listPeers(): Promise<Peer[]> {
    return (await this.#listPeers("")).map(({ peer }) => peer);
  }

  /**
   * Replaces all policies of the daemon: which prefixes each peer may send and gets. Call it before the first `addPeer`;
   * until then every peer sends and gets everything. It takes effect at once on what was received before, and sends what
   * is newly let out. gobgpd 3.x does not take back what it advertised before: withdraw such paths first.
   */
  async setPeerPolicies(policies: PeerPolicies): Promise<void> {
    const plan = planPolicies(policies);
    await this.#inTurn(async () => {
      await this.#call("SetPolicies", "peer policies", (options) => this.#dialect.setPolicies(plan, options));
      await this.#call("ResetPeer", "all peers", (options) => this.#dialect.softReset(options));
    });
  }

  /** Advertises a path; one with the same prefix that was added before is replaced. */
  async addPath(config: PathConfig): Promise<void> {
    const path = checkPath(config);
    await this.#call("AddPath", `path ${config.prefix}`, (options) => this.#dialect.addPath(path, options));
  }

  /** Withdraws the path that was added for this prefix; nothing happens if there is none. */
  async deletePath(prefix: string): Promise<void> {
    const { family, address, length } = new Check(`path ${String(prefix).slice(0, 60)}`).prefix("prefix", prefix);
    await this.#call("DeletePath", `path ${prefix}`, (options) =>
      this.#dialect.deletePath(family, address, length, options),
    );
  }

  async listPaths(query: PathQuery): Promise<Path[]> {
    const check: Check = new Check("listPaths");
    check.oneOf("table", query.table, ["global", "adj-in", "adj-out"]);
    check.oneOf("family", query.family, ["ipv4-unicast", "ipv6-unicast"]);
    if (query.prefix !== undefined && check.prefix("prefix", query.prefix).family !== query.family) {
      check.fail("prefix", `${query.prefix} is not of the family ${query.family}`);
    }
    const checked =
      query.table === "global" ? query : { ...query, neighbor: check.address("neighbor", query.neighbor) };
    return this.#call("ListPath", query.table, (options) => this.#dialect.listPaths(checked, options));
  }

  /** Sessions: a snapshot first and after every reconnect, then each change. Ends with the signal or the client. */
  watchPeers(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<PeerEvent, void, undefined> {
    return watchPeerEvents(this.#watchContext("watchPeers", options.signal));
  }

  /** Best paths, received and own: a snapshot first and after every reconnect, then each change by prefix. */
  watchBestPaths(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<RouteEvent, void, undefined> {
    return watchRouteEvents(this.#watchContext("watchBestPaths", options.signal));
  }

  /** Ends watches and calls under way. The daemon is left as it is. */
  close(): void {
    this.#closing.abort();
    this.#channel.close();
  }

  #watchContext(operation: string, signal: AbortSignal | undefined): WatchContext {
    return {
      dialect: this.#dialect,
      translate: (error) => translateError(operation, "watch", this.#address, error),
      signal: signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal,
      callTimeoutMs: this.#callTimeoutMs,
      livenessIntervalMs: this.#livenessIntervalMs,
      random: this.#random,
    };
  }

  #refuseBfd(peer: WirePeer): void {
    if (peer.bfd && this.#dialect.name === "3.x") {
      throw new UnsupportedByDaemonError("AddPeer", "BFD", `peer ${peer.address}: it needs 4.5 or newer`);
    }
  }

  async #addPeer(peer: WirePeer): Promise<void> {
    this.#refuseBfd(peer);
    await this.#call("AddPeer", `peer ${peer.address}`, (options) => this.#dialect.addPeer(peer, options));
    if (!peer.bfd) return;
    // 4.0 to 4.4 drop the BFD settings without a word, and a session without them is not what was asked for.
    const [listed] = await this.#listPeers(peer.address);
    if (listed?.peer.bfd === undefined) {
      await this.#deletePeer(peer.address);
      throw new UnsupportedByDaemonError("AddPeer", "BFD", `peer ${peer.address}: it needs 4.5 or newer`);
    }
  }

  async #deletePeer(address: string): Promise<void> {
    await this.#call("DeletePeer", `peer ${address}`, (options) => this.#dialect.deletePeer(address, options));
  }

  async #listPeers(address: string): Promise<ListedPeer[]> {
    return this.#call("ListPeer", address || "peers", (options) => this.#dialect.listPeers(address, options));
  }

  async #call<T>(operation: string, object: string, run: (options: CallOptions) => Promise<T>): Promise<T> {
    try {
      return await run({ signal: this.#closing.signal, timeoutMs: this.#callTimeoutMs });
    } catch (error) {
      if (this.#closing.signal.aborted) {
        throw new DaemonUnreachableError(operation, this.#address, "was let go: the client is closed", error);
      }
      throw translateError(operation, object, this.#address, error);
    }
  }

  /** Steps of several calls do not mix with those of another. */
  async #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(run);
    // The caller gets the failure from `turn`; the next in line only waits for the end.
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

interface CheckedTimes {
  readonly connectTimeoutMs: number;
  readonly callTimeoutMs: number;
  readonly livenessIntervalMs: number;
}

function checkTimes(check: Check, options: ConnectOptions): CheckedTimes {
  const time = (field: keyof CheckedTimes, fallback: number): number =>
    check.integer(field, options[field] ?? fallback, 1, 600_000);
  return {
    connectTimeoutMs: time("connectTimeoutMs", 10_000),
    callTimeoutMs: time("callTimeoutMs", 5_000),
    livenessIntervalMs: time("livenessIntervalMs", 5_000),
  };
}

/** Each is loaded when it is tried: a version's messages take some MB of memory. */
const DIALECTS = [
  async (channel: TypedChannel): Promise<Dialect> => (await import("./dialect-3.ts")).dialect3(channel),
  async (channel: TypedChannel): Promise<Dialect> => (await import("./dialect-4.ts")).dialect4(channel),
];

/** A daemon of the other version answers "unimplemented": the service's name differs. */
async function detect(channel: TypedChannel, options: CallOptions): Promise<Dialect> {
  for (const load of DIALECTS) {
    const dialect = await load(channel);
    try {
      await dialect.getBgp(options);
      return dialect;
    } catch (error) {
      if (!(error instanceof GrpcStatusError) || error.code !== grpcCode.unimplemented) throw error;
    }
  }
  throw new UnsupportedByDaemonError("connect", "apipb.GobgpApi or api.GoBgpService", "the server offers neither");
}
