import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** What a lab must leave as it was; every part is a sorted list, so that a difference shows what was left behind. */
export type MachineState = Readonly<Record<string, readonly string[]>>;

/** Folders of the sandbox's own. */
const FOLDERS = ["/run", "/run/netns", "/run/lock"];
/** Folders that other programs of the machine use as well; of these only what sounds like a lab's. */
const SHARED_FOLDERS = ["/tmp", "/dev/shm", "/var/tmp", "/etc/netns"];
const LAB_NAMES = /causeway|netns|lab|bird|gobgp|nft|gateway|target|router/i;

/** Looks at the whole machine as this process sees it. */
export function machineState(): MachineState {
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
    files: [
      ...FOLDERS.flatMap(pathsIn),
      ...SHARED_FOLDERS.flatMap((folder) =>
        pathsIn(folder).filter((path) => LAB_NAMES.test(path.slice(folder.length))),
      ),
    ].sort(),
  };
}

function pathsIn(folder: string): string[] {
  try {
    return readdirSync(folder).map((name) => `${folder}/${name}`);
  } catch {
    // Not every machine has every folder.
    return [];
  }
}
