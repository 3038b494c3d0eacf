import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

export function sh(command: string): string {
  return execFileSync("sh", ["-ec", command], { encoding: "utf8" });
}

/** Looks every few milliseconds until `probe` answers something; the last answer is in the error. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  limitMs = 20_000,
): Promise<T> {
  const endMs = performance.now() + limitMs;
  for (;;) {
    const answer = await probe();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > endMs) throw new Error(`not within ${limitMs} ms: ${what}`);
    await delay(5);
  }
}

/** The gateway's external interface: a bridge in the sandbox's own namespace, with routers behind it. */
export const EXTERNAL = { interface: "cw-ext", v4: "192.0.2.10", v6: "2001:db8:1::10" } as const;

export function makeExternalNetwork(): void {
  sh(`ip link add ${EXTERNAL.interface} type bridge
      ip link set ${EXTERNAL.interface} up
      ip addr add ${EXTERNAL.v4}/24 dev ${EXTERNAL.interface}
      ip addr add ${EXTERNAL.v6}/64 dev ${EXTERNAL.interface} nodad`);
}

export function removeExternalNetwork(): void {
  sh(`ip link del ${EXTERNAL.interface}`);
}

export interface RouterOptions {
  /** Last number of its addresses, 1 to 9. */
  readonly id: number;
  readonly password?: string;
  readonly ttlSecurity?: boolean;
  /** Also announces this many prefixes that nobody asked for. */
  readonly unwanted?: number;
  readonly internal?: boolean;
  /** Takes part in graceful restarts (RFC 4724), its own included; BGP's routes are in its kernel. */
  readonly gracefulRestart?: boolean;
  /**
   * BFD at 100 ms x 3: beside its BGP sessions, whose routes stay over a fall with `gracefully`, or with the gateway alone
   * and no BGP.
   */
  readonly bfd?: "beside" | "gracefully" | "alone";
}

export const ROUTER_ASN = 64512;
export const GATEWAY_ASN = 64513;

/** A BIRD in a namespace of its own that announces default routes and more. */
export class Router {
  readonly name: string;
  readonly v4: string;
  readonly v6: string;
  readonly #options: RouterOptions;
  readonly #folder = mkdtempSync(join(tmpdir(), "cw-bird-"));
  #bird: ChildProcess | undefined;

  constructor(options: RouterOptions) {
    this.#options = options;
    this.name = `cw-router${options.id}`;
    this.v4 = `192.0.2.${options.id}`;
    this.v6 = `2001:db8:1::${options.id}`;
  }

  async start(): Promise<void> {
    sh(`ip netns add ${this.name}
        ip link add cw-r${this.#options.id} type veth peer name ext netns ${this.name}
        ip link set cw-r${this.#options.id} master ${EXTERNAL.interface} up
        ip -n ${this.name} link set lo up
        ip -n ${this.name} link set ext up
        ip -n ${this.name} addr add ${this.v4}/24 dev ext
        ip -n ${this.name} addr add ${this.v6}/64 dev ext nodad`);
    await this.startBird();
  }

  /** Its cable, into the external network of now. */
  plugIn(): void {
    sh(`ip link set cw-r${this.#options.id} master ${EXTERNAL.interface} up`);
  }

  /** @param recovering from a restart: what its kernel holds stays until its neighbours have spoken. */
  async startBird(recovering = false): Promise<void> {
    writeFileSync(join(this.#folder, "bird.conf"), this.#config());
    const args = [
      "netns",
      "exec",
      this.name,
      "bird",
      "-f",
      "-c",
      join(this.#folder, "bird.conf"),
      "-s",
      this.#socket(),
      ...(recovering ? ["-R"] : []),
    ];
    this.#bird = spawn("ip", args, { stdio: ["ignore", "ignore", "inherit"] });
    await until(`${this.name} answers`, async () =>
      (await this.ask("show status").catch(() => "")).includes("up and running"),
    );
  }

  /** Stops BIRD in its tracks, or lets it go on. */
  freeze(frozen: boolean): void {
    if (this.#bird?.kill(frozen ? "SIGSTOP" : "SIGCONT") !== true) throw new Error(`${this.name}: BIRD does not run`);
  }

  /** What nft does to packets of its namespace, instead of what it did before: rules of the chains `in` and `out`. */
  filter(...rules: string[]): void {
    const script = [
      "table inet cw",
      "delete table inet cw",
      "add table inet cw",
      "add chain inet cw in { type filter hook input priority mangle; }",
      "add chain inet cw out { type filter hook output priority mangle; }",
      ...rules.map((rule) => `add rule inet cw ${rule}`),
    ];
    execFileSync("ip", ["netns", "exec", this.name, "nft", "-f", "-"], { input: `${script.join("\n")}\n` });
  }

  async stopBird(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.#bird === undefined || this.#bird.exitCode !== null || this.#bird.signalCode !== null) return;
    const exited = once(this.#bird, "exit");
    this.#bird.kill(signal);
    await exited;
  }

  async close(): Promise<void> {
    await this.stopBird();
    sh(`ip netns del ${this.name}; ip link del cw-r${this.#options.id} 2>/dev/null || true`);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async ask(command: string): Promise<string> {
    const args = ["-s", this.#socket(), ...command.split(" ")];
    try {
      return (await run("birdc", args)).stdout;
    } catch (error) {
      // birdc ends with 1 where BIRD knows no such route; its answer says so.
      if (error instanceof Error && "stdout" in error && String(error.stdout).includes("Network not found")) return "";
      throw error;
    }
  }

  /** Its whole entry for a prefix; undefined without one. */
  async route(prefix: string): Promise<string | undefined> {
    const text = await this.ask(`show route ${prefix} all`);
    return text.includes(`${prefix} `) ? text : undefined;
  }

  async isUp(protocol: "gw4" | "gw6"): Promise<boolean> {
    return (await this.ask(`show protocols ${protocol}`)).includes("Established");
  }

  /** When the session last changed its state, as BIRD prints it. */
  async upSince(protocol: "gw4" | "gw6"): Promise<string> {
    return (await this.ask(`show protocols ${protocol}`)).split("\n").find((line) => line.startsWith(protocol)) ?? "";
  }

  #socket(): string {
    return join(this.#folder, "bird.ctl");
  }

  #config(): string {
    const { bfd, gracefulRestart, internal, password, ttlSecurity, unwanted } = this.#options;
    const session = (family: 4 | 6): string => `
      protocol bgp gw${family} {
        local ${family === 4 ? this.v4 : this.v6} as ${internal ? GATEWAY_ASN : ROUTER_ASN};
        neighbor ${family === 4 ? EXTERNAL.v4 : EXTERNAL.v6} as ${GATEWAY_ASN};
        ${password === undefined ? "" : `password "${password}";`}
        ${ttlSecurity ? "ttl security on;" : ""}
        ${bfd === "beside" ? "bfd on;" : bfd === "gracefully" ? "bfd graceful;" : ""}
        ${gracefulRestart === undefined ? "" : `graceful restart ${gracefulRestart ? "on" : "off"};`}
        hold time 9; connect delay time 1; connect retry time 1; error wait time 1, 2;
        ipv${family} { import all; export where source = RTS_STATIC; next hop self; };
      }`;
    const extra = Array.from({ length: unwanted ?? 0 }, (_, i) => `route 10.${i + 1}.0.0/16 blackhole;`).join(" ");
    const timers = 'interface "ext" { interval 100 ms; multiplier 3; };';
    const neighbours = `neighbor ${EXTERNAL.v4} dev "ext" local ${this.v4}; neighbor ${EXTERNAL.v6} dev "ext" local ${this.v6};`;
    const watch = bfd === undefined ? "" : `protocol bfd { ${timers} ${bfd === "alone" ? neighbours : ""} }`;
    const kernel = (family: 4 | 6): string =>
      gracefulRestart === undefined
        ? ""
        : `protocol kernel { ipv${family} { import none; export where source = RTS_BGP; }; }`;
    return `router id ${this.v4};
      ${kernel(4)} ${kernel(6)}
      timeformat route iso long ms; timeformat protocol iso long ms;
      protocol device { }
      protocol static s4 { ipv4; route 0.0.0.0/0 blackhole; route 203.0.113.0/24 blackhole; ${extra} }
      protocol static s6 { ipv6; route ::/0 blackhole; route 2001:db8:99::/48 blackhole; }
      ${watch}
      ${bfd === "alone" ? "" : `${session(4)} ${session(6)}`}\n`;
  }
}

interface TableRoute {
  readonly dst: string;
  readonly protocol: string;
  readonly gateway?: string;
  readonly nexthops?: readonly { readonly gateway: string }[];
}

/** Prefix to sorted next hops of the return table, as `ip route` lists it. */
export function returnTable(): Record<string, string[]> {
  const list = (family: string): TableRoute[] =>
    // Before the family's first route there is no table, and what `ip` prints is half a list.
    JSON.parse(
      sh(`routes=$(ip -N -j ${family} route show table 7701 proto 201) && echo "$routes" || echo "[]"`) || "[]",
    );
  const entries = [...list("-4"), ...list("-6")].map((route): [string, string[]] => [
    route.dst === "default"
      ? `${route.gateway ?? route.nexthops?.[0]?.gateway}`.includes(":")
        ? "::/0"
        : "0.0.0.0/0"
      : route.dst,
    (route.nexthops?.map((hop) => hop.gateway) ?? [route.gateway ?? ""]).toSorted(),
  ]);
  return Object.fromEntries(entries);
}
