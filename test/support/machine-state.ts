import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { homedir, tmpdir } from "node:os";

/** What a lab must leave as it was; every part is a sorted list, so that a difference shows what was left behind. */
export type MachineState = Readonly<Record<string, readonly string[]>>;

/** Folders that programs write to by habit, beside the state folder that a lab was given. */
const FOLDERS = ["/run", "/run/netns", "/run/lock", "/var/run", "/etc/netns", "/dev/shm", "/tmp", tmpdir(), homedir()];

/** Looks at the whole machine as this process sees it. @param ours Paths that are the test's own. */
export function machineState(ours: readonly string[]): MachineState {
  const pids = readdirSync("/proc").filter((entry) => /^[0-9]+$/.test(entry));
  const of = <T>(pid: string, look: (path: string) => T): T[] => {
    try {
      return [look(`/proc/${pid}`)];
    } catch {
      // It ended while we looked, or is the kernel's.
      return [];
    }
  };
  const run = (command: string, ...args: string[]): string[] =>
    execFileSync(command, args, { encoding: "utf8" }).trim().split("\n").sort();
  return {
    processes: pids
      .flatMap((pid) => of(pid, (path) => readFileSync(`${path}/cmdline`, "latin1").replaceAll("\0", " ").trim()))
      .filter((command) => command !== "")
      .sort(),
    namespaces: [
      ...new Set(
        pids.flatMap((pid) =>
          ["net", "mnt", "pid", "user"].flatMap((kind) => of(pid, (path) => readlinkSync(`${path}/ns/${kind}`))),
        ),
      ),
    ].sort(),
    mounts: readFileSync("/proc/self/mounts", "utf8").trim().split("\n").sort(),
    links: run("ip", "-o", "link").map((line) => line.replace(/^[0-9]+: /, "")),
    addresses: run("ip", "-o", "address").map((line) => line.replace(/^[0-9]+: /, "")),
    routes: [...run("ip", "route", "show", "table", "all"), ...run("ip", "-6", "route", "show", "table", "all")],
    rules: [...run("ip", "rule"), ...run("ip", "-6", "rule")],
    nftables: run("nft", "list", "ruleset"),
    sysctls: ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.ip_local_port_range"].map((key) =>
      readFileSync(`/proc/sys/${key.replaceAll(".", "/")}`, "utf8").trim(),
    ),
    files: FOLDERS.flatMap((folder) => namesIn(folder).map((name) => `${folder}/${name}`))
      .filter((path) => !ours.some((own) => path.startsWith(own)))
      .sort(),
  };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    // Not every machine has every folder.
    return [];
  }
}
