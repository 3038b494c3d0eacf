import { execFileSync, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, it } from "vitest";
import { buildParticipantDispose, portsOf, SPDP_MULTICAST_IPV4 } from "../src/index.ts";
import { vector } from "./vectors.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const [announcing = "", listening = "", changing = "", ...others] = [...readme.matchAll(/```ts\n(.*?)```/gs)].map(
  ([, code = ""]) => code,
);

const ip = (command: string): string => execFileSync("ip", command.split(" "), { encoding: "utf8" });
beforeAll(() => {
  ip("link add readme0 type veth peer name readme1");
  ip("address add 10.72.0.1/24 dev readme0");
  for (const name of ["readme0", "readme1"]) ip(`link set ${name} up`);
  ip("route add 239.0.0.0/8 dev readme0");
});
afterAll(() => ip("link del readme0"));

function commandLine(code: string): readonly string[] {
  const entry = JSON.stringify(new URL("../src/index.ts", import.meta.url).href);
  return ["--input-type=module-typescript", "--eval", code.replaceAll('"rtps-wire"', entry)];
}

it("has three examples", () => expect(others).toEqual([]));

it("has examples that build and change, one behind the other", () => {
  const printed = execFileSync(process.execPath, commandLine(`${announcing}\n${changing}`), { encoding: "utf8" });
  expect(printed.trim().split("\n")).toEqual([
    "participant 0110a1b2c3d4e5f60718293a 192.0.2.7 north",
    expect.stringMatching(/^\[ 20, 16, \d+ \]$/),
    "76",
  ]);
  for (const [, expected] of changing.matchAll(/console\.log.*\/\/ (.*)/g)) expect(printed).toContain(`${expected}\n`);
});

it("has an example that listens", async () => {
  const child = spawn(process.execPath, commandLine(listening), { stdio: ["ignore", "pipe", "inherit"] });
  const socket = createSocket("udp4").bind(0, "10.72.0.1");
  await once(socket, "listening");
  const prefix = "fefe01020304050607080910";
  const header = { version: { major: 2, minor: 3 }, vendorId: 0xfefe, guidPrefix: prefix };
  const sent = [
    vector("cyclone", "plain: announcement").bytes,
    vector("cyclone", "plain: publication").bytes,
    vector("connext", "plain: ping").bytes,
    buildParticipantDispose(header, 2n),
  ];
  const sending = setInterval(() => {
    for (const datagram of sent) socket.send(datagram, portsOf(0).metatrafficMulticast, SPDP_MULTICAST_IPV4);
  }, 50);
  const missing = [
    /^here 0110[0-9a-f]{20}:000001c1$/,
    /^publication Reading$/,
    new RegExp(`^gone participant ${prefix}:000001c1$`),
  ];
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const index = missing.findIndex((expression) => expression.test(line));
      if (index >= 0) missing.splice(index, 1);
      if (missing.length === 0) break;
    }
  } finally {
    clearInterval(sending);
    socket.close();
    child.kill();
    await once(child, "exit");
  }
  expect(missing).toEqual([]);
});
