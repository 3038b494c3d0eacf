import { execFileSync } from "node:child_process";

export interface Testbed {
  /** Path of the namespace under test: device "a0" has 10.9.0.1/24 and fd09:0::1/64, "a1" 10.9.1.1/24 and fd09:1::1/64. */
  readonly netns: string;
  /** Runs `ip` in the namespace under test. */
  ip(...args: string[]): string;
  /** The JSON of `ip -j …` there. */
  ipJson(...args: string[]): unknown[];
  /** Runs `ip` in the namespace at the other end of the cables: the same with host part 2. */
  peerIp(...args: string[]): string;
  readonly peer: string;
  remove(): void;
}

/** Two namespaces and two cables between them. */
export function makeTestbed(name: string): Testbed {
  const here = `cw-${name}`;
  const peer = `cw-${name}-peer`;
  const run = (...args: string[]) => execFileSync("ip", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  run("netns", "add", here);
  run("netns", "add", peer);
  run("-n", here, "link", "set", "lo", "up");
  for (const index of [0, 1]) {
    run("link", "add", `a${index}`, "netns", here, "type", "veth", "peer", "name", `b${index}`, "netns", peer);
    for (const [netns, device, host] of [
      [here, `a${index}`, 1],
      [peer, `b${index}`, 2],
    ]) {
      run("-n", `${netns}`, "addr", "add", `10.9.${index}.${host}/24`, "dev", `${device}`);
      run("-n", `${netns}`, "addr", "add", `fd09:${index}::${host}/64`, "dev", `${device}`, "nodad");
      run("-n", `${netns}`, "link", "set", `${device}`, "up");
    }
  }
  return {
    netns: `/run/netns/${here}`,
    peer: `/run/netns/${peer}`,
    ip: (...args) => run("-n", here, ...args),
    ipJson: (...args) => JSON.parse(run("-n", here, "-j", ...args) || "[]"),
    peerIp: (...args) => run("-n", peer, ...args),
    remove: () => {
      run("netns", "del", here);
      run("netns", "del", peer);
    },
  };
}
