import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ENTRY = fileURLToPath(new URL("./entry.ts", import.meta.url));

export interface Result {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Topology without gateways' and cluster's processes. `extra` goes into the nodes, one YAML line each. */
export function bareTopology(extra: Readonly<Record<string, string>> = {}): string {
  return `
name: bare
cluster: []
bgp: { pools: [198.51.100.0/24, "2001:db8:100::/64"] }
nodes:
  client: { role: client }
  router: { role: router, asn: 65000 }
  gateway-a: { role: gateway, gateway: default/edge, asn: 64512, run: []${extra["gateway-a"] ?? ""} }
  gateway-b: { role: gateway, gateway: default/edge, asn: 64512, run: []${extra["gateway-b"] ?? ""} }
  target-1: { role: target, echo: { tcp: [8080], udp: [8080] }${extra["target-1"] ?? ""} }
networks:
  access: { type: bridge, interface: eth0, ipv4: 203.0.113.0/24, ipv6: "2001:db8:c::/64", members: [{ node: router, interface: acc0 }, client] }
  external: { type: bridge, interface: ext0, ipv4: 192.0.2.0/24, ipv6: "2001:db8:e::/64", members: [router, gateway-a, gateway-b] }
  service: { type: bridge, interface: svc0, ipv4: 10.1.0.0/24, ipv6: "fd00:1::/64", members: [gateway-a, gateway-b, { node: target-1, ipv4: 10.1.0.11, ipv6: "fd00:1::11" }] }
`;
}

/** The `causeway` command with a state folder of its own. */
export class LabCommand {
  readonly folder = mkdtempSync(join(tmpdir(), "cw-lab-"));
  readonly env = { ...process.env, CAUSEWAY_STATE: this.folder };

  /** Writes a topology with an empty manifests folder. @returns its path. */
  topology(text: string, name = "bare"): string {
    const folder = join(this.folder, `topology-${name}`);
    mkdirSync(join(folder, "manifests"), { recursive: true });
    const file = join(folder, "topology.yaml");
    writeFileSync(file, text);
    return file;
  }

  /** Starts the command and leaves it running. */
  start(args: readonly string[]): ChildProcess {
    return spawn(process.execPath, [ENTRY, ...args], { env: this.env, stdio: ["pipe", "pipe", "pipe"] });
  }

  /** Runs the command to its end. */
  run(args: readonly string[], input = ""): Promise<Result> {
    const child = this.start(args);
    child.stdin?.end(input);
    return finished(child);
  }

  lab(...args: string[]): Promise<Result> {
    return this.run(["lab", ...args]);
  }

  /** Runs a command in a node, which must succeed. @returns its standard output. */
  async exec(node: string, ...command: string[]): Promise<string> {
    const result = await this.lab("exec", node, "--", ...command);
    if (result.code !== 0)
      throw new Error(`${command.join(" ")} in ${node}: ${result.code} ${result.stderr}${result.stdout}`);
    return result.stdout;
  }

  /** Sends traffic from a node. @returns the exit code and the report. */
  async traffic(
    node: string,
    ...args: string[]
  ): Promise<{ code: number | null; report: ReturnType<typeof JSON.parse> }> {
    const result = await this.lab("exec", node, "--", process.execPath, ENTRY, "traffic", "--json", ...args);
    return { code: result.code, report: JSON.parse(result.stdout) };
  }

  info(name = "default"): { owner: { pid: number }; init: { pid: number } } {
    return JSON.parse(readFileSync(join(this.folder, "labs", name, "lab.json"), "utf8"));
  }

  async remove(): Promise<void> {
    for (const name of listOr(join(this.folder, "labs"))) await this.lab("down", "--name", name);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function listOr(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    // No lab was ever started.
    return [];
  }
}

export function finished(child: ChildProcess): Promise<Result> {
  const output = { stdout: "", stderr: "" };
  child.stdout?.on("data", (chunk: Buffer) => {
    output.stdout += chunk.toString();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    output.stderr += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal, ...output }));
  });
}

/** What a lab must leave as it was: processes with their commands, mounts, interfaces, named namespaces. */
export function machine(): { processes: string[]; mounts: string; links: string; namespaces: string[] } {
  const processes = readdirSync("/proc").flatMap((entry) => {
    if (!/^[0-9]+$/.test(entry)) return [];
    try {
      const command = readFileSync(`/proc/${entry}/cmdline`, "latin1").replaceAll("\0", " ").trim();
      return /supervisor\/main\.ts|entry\.ts|unshare|nsenter|causeway-lab|bird |ip netns/.test(command)
        ? [command]
        : [];
    } catch {
      // It ended while we looked.
      return [];
    }
  });
  return {
    processes,
    mounts: readFileSync("/proc/self/mounts", "utf8"),
    links: readFileSync("/proc/net/dev", "utf8").replaceAll(/:.*/g, ""),
    namespaces: listOr("/run/netns"),
  };
}

/** Polls until `check` passes; the last failure is thrown after `timeoutMs`. */
export async function eventually<T>(check: () => T | Promise<T>, timeoutMs = 10_000): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
