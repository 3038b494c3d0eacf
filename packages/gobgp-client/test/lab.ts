import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Runs a command and returns what it printed. */
export async function sh(command: string, ...args: string[]): Promise<string> {
  return (await run(command, args)).stdout;
}

/** Asks again until the answer is there. Fails with the last thing seen. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false>,
  timeoutMs = 20_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  while (performance.now() < deadline) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      last = error;
    }
    await sleep(10);
  }
  throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause: last });
}

/** gobgpd and BIRD in two network namespaces joined by a veth pair; gobgpd's API on a unix socket. */
export class Lab implements AsyncDisposable {
  static readonly gobgp = { v4: "10.9.0.1", v6: "fd00:9::1", asn: 65001 };
  static readonly bird = { v4: "10.9.0.2", v6: "fd00:9::2", asn: 65010 };
  /** BIRD's second session, disabled at first: addresses of its own at both ends, for BIRD has one per neighbour. */
  static readonly second = { v4: "10.9.0.3", asn: 65020, gobgp: "10.9.0.4" };
  readonly #folder = mkdtempSync(join(tmpdir(), "cw-gobgp-"));
  readonly address = `unix://${this.#folder}/gobgpd.sock`;
  #gobgpd: ChildProcess | undefined;
  #bird: ChildProcess | undefined;

  static async create(): Promise<Lab> {
    const lab = new Lab();
    await sh("ip", "netns", "add", "cw-gobgp");
    await sh("ip", "netns", "add", "cw-bird");
    await sh(
      "ip",
      "link",
      "add",
      "cw-g",
      "netns",
      "cw-gobgp",
      "type",
      "veth",
      "peer",
      "name",
      "cw-b",
      "netns",
      "cw-bird",
    );
    for (const [ns, link, side] of [
      ["cw-gobgp", "cw-g", Lab.gobgp],
      ["cw-bird", "cw-b", Lab.bird],
    ] as const) {
      await sh("ip", "-n", ns, "link", "set", "lo", "up");
      await sh("ip", "-n", ns, "addr", "add", `${side.v4}/24`, "dev", link);
      await sh("ip", "-n", ns, "addr", "add", `${side.v6}/64`, "dev", link, "nodad");
      await sh("ip", "-n", ns, "link", "set", link, "up");
    }
    await sh("ip", "-n", "cw-bird", "addr", "add", `${Lab.second.v4}/24`, "dev", "cw-b");
    await sh("ip", "-n", "cw-gobgp", "addr", "add", `${Lab.second.gobgp}/24`, "dev", "cw-g");
    return lab;
  }

  startGobgpd(): void {
    // A killed daemon leaves its socket behind, and the next one cannot bind to it.
    rmSync(`${this.#folder}/gobgpd.sock`, { force: true });
    const log = openSync(`${this.#folder}/gobgpd.log`, "a");
    const args = ["netns", "exec", "cw-gobgp", "gobgpd", "--api-hosts", this.address, "--pprof-disable", "--log-plain"];
    this.#gobgpd = spawn("ip", args, { stdio: ["ignore", log, log] });
  }

  signalGobgpd(signal: NodeJS.Signals): void {
    this.#gobgpd?.kill(signal);
  }

  async killGobgpd(): Promise<void> {
    await killed(this.#gobgpd);
  }

  async startBird(): Promise<void> {
    rmSync(`${this.#folder}/bird.ctl`, { force: true });
    writeFileSync(`${this.#folder}/bird.conf`, birdConfig(`${this.#folder}/bird.log`));
    const args = [
      "netns",
      "exec",
      "cw-bird",
      "bird",
      "-f",
      "-c",
      `${this.#folder}/bird.conf`,
      "-s",
      `${this.#folder}/bird.ctl`,
    ];
    this.#bird = spawn("ip", args, { stdio: "ignore" });
    await until("BIRD answers", () => this.birdc("show status"));
  }

  async killBird(): Promise<void> {
    await killed(this.#bird);
  }

  /** What BIRD answers. It ends with 1 when there is no such route, which is an answer, too. */
  async birdc(command: string): Promise<string> {
    const script =
      'out=$(birdc -s "$0" "$@"); rc=$?; echo "$out"; case $out in *"not found"*) exit 0 ;; esac; exit $rc';
    return sh("sh", "-c", script, `${this.#folder}/bird.ctl`, ...command.split(" "));
  }

  async birdEstablished(): Promise<boolean> {
    return (await this.birdc("show protocols gobgp")).includes("Established");
  }

  gobgpdLog(): string {
    return readFileSync(`${this.#folder}/gobgpd.log`, "utf8");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.killGobgpd();
    await this.killBird();
    await sh("ip", "netns", "del", "cw-gobgp");
    await sh("ip", "netns", "del", "cw-bird");
    rmSync(this.#folder, { recursive: true });
  }
}

async function killed(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

function birdConfig(log: string): string {
  const { gobgp, bird, second } = Lab;
  return `
log "${log}" all;
router id ${bird.v4};
graceful restart wait 5;
protocol device {}
protocol static always4 { ipv4; route 0.0.0.0/0 blackhole; route 198.51.100.0/24 blackhole; }
protocol static always6 { ipv6; route ::/0 blackhole; }
protocol static late { disabled; ipv4; route 203.0.113.0/24 blackhole; }
protocol bgp gobgp {
  local ${bird.v4} as ${bird.asn};
  neighbor ${gobgp.v4} as ${gobgp.asn};
  strict bind;
  password "secret";
  ttl security on;
  hold time 3; keepalive time 1;
  connect delay time 1; connect retry time 1; error wait time 1, 1; error forget time 1;
  graceful restart on;
  ipv4 { import all; export all; };
  ipv6 { import all; export all; next hop address ${bird.v6}; };
}
protocol bgp second {
  disabled;
  local ${second.v4} as ${second.asn};
  neighbor ${second.gobgp} as ${gobgp.asn};
  strict bind;
  hold time 3; keepalive time 1;
  connect delay time 1; connect retry time 1; error wait time 1, 1; error forget time 1;
  ipv4 { import none; export where source = RTS_STATIC; };
}
`;
}
