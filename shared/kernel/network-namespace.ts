import { readFileSync, writeFileSync } from "node:fs";
import { KernelInvalidError, kernelError, kernelErrorFromCode } from "./kernel-error.ts";
import { closeFd, lastErrno, openFile, setNamespace } from "./libc.ts";

const CLONE_NEWNET = 0x40000000;
const O_CLOEXEC = 0x80000;

/**
 * Where `net/…` is below. A container's /proc/sys is read-only; the host's /proc/sys/net, mounted elsewhere, can be
 * written and shows no more than the settings of the network namespace of the thread that looks.
 */
const PROC_SYS = process.env.CAUSEWAY_PROC_SYS ?? "/proc/sys";

/**
 * Runs a synchronous function with the calling thread in the network namespace at `path` ("/run/netns/x",
 * "/proc/PID/ns/net"), then returns. Sockets opened meanwhile stay in that namespace, and /proc/sys/net shows it,
 * because the kernel looks at the calling thread. Without a path the function runs where the thread is.
 *
 * A thread that could not return would do the rest of its work on the wrong network: the process aborts.
 * Needs CAP_SYS_ADMIN.
 */
export function withNetns<T>(path: string | undefined, fn: () => T): T {
  if (path === undefined) return fn();
  const object = `network namespace ${path}`;
  const home = openNamespace("/proc/thread-self/ns/net", object);
  try {
    const target = openNamespace(path, object);
    try {
      if (setNamespace(target, CLONE_NEWNET) < 0) throw kernelError(lastErrno(), object, "", "CAP_SYS_ADMIN");
    } finally {
      closeFd(target);
    }
    let result: T;
    try {
      result = fn();
    } finally {
      if (setNamespace(home, CLONE_NEWNET) < 0) {
        const error = kernelError(lastErrno(), object, "", "CAP_SYS_ADMIN");
        process.stderr.write(`cannot return from ${error.message}: aborting, work would go to the wrong network\n`);
        process.abort();
      }
    }
    if (result instanceof Promise) {
      throw new KernelInvalidError(
        object,
        "EINVAL",
        "withNetns takes a synchronous function; a promise outlives the visit",
      );
    }
    return result;
  } finally {
    closeFd(home);
  }
}

function openNamespace(path: string, object: string): number {
  const fd = openFile(path, O_CLOEXEC, 0);
  if (fd < 0) throw kernelError(lastErrno(), object, "", "CAP_SYS_ADMIN");
  return fd;
}

/**
 * The value of a sysctl such as "net/ipv4/conf/eth0.100/forwarding" in a namespace (undefined: the caller's).
 * Keys are written with slashes because device names hold dots. Without its final newline.
 */
export function readSysctl(netns: string | undefined, key: string): string {
  return sysctl(netns, key, (file) => readFileSync(file, "utf8").trimEnd());
}

export function writeSysctl(netns: string | undefined, key: string, value: string | number): void {
  sysctl(netns, key, (file) => writeFileSync(file, `${value}\n`));
}

function sysctl<T>(netns: string | undefined, key: string, use: (file: string) => T): T {
  const object = `sysctl ${key}${netns === undefined ? "" : ` in network namespace ${netns}`}`;
  if (!/^net(\/[^/\0]+)+$/.test(key) || key.split("/").includes("..")) {
    throw new KernelInvalidError(object, "EINVAL", 'the key must look like "net/ipv4/ip_forward"');
  }
  return withNetns(netns, () => {
    try {
      return use(`${PROC_SYS}/${key}`);
    } catch (cause) {
      const code = cause instanceof Error && "code" in cause ? String(cause.code) : "EIO";
      throw kernelErrorFromCode(code, object, "", `write access to ${PROC_SYS} and CAP_NET_ADMIN`, { cause });
    }
  });
}
