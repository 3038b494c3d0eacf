/*
 * Records the vectors of ../vectors anew from the vendors' own libraries:
 *
 *   sh scripts/sandbox.sh node packages/rtps-wire/test/record/record.ts [--connext FOLDER]
 *
 * It needs Debian's cyclonedds-dev, cyclonedds-tools, libfastrtps-dev, gcc, g++, openssl, iproute2 and python3, and for
 * Connext a FOLDER in which the npm package rticonnextdds-connector was installed; without it Connext's stay as they
 * are. Two network namespaces are joined by a veth pair, one participant in each, and every UDP datagram on the pair is
 * seen; `WANTED` picks the first of each shape. Addresses are the namespaces' own; keys and certificates are made for
 * the run and go with it.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { compileVendorPrograms, VENDORS_FOLDER } from "../vendor-program.ts";

type Seen = { readonly from: string; readonly to: string; readonly hex: string };
type Scenario = {
  readonly name: string;
  /** What runs in namespaces a and b. */
  readonly a: readonly string[];
  readonly b?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Name of a vector to the shape of its datagram: see `shape`. */
  readonly wanted: Readonly<Record<string, RegExp>>;
};

const { values: options } = parseArgs({ options: { connext: { type: "string" } } });
const here = import.meta.dirname;
const folder = mkdtempSync(join(tmpdir(), "rtps-record-"));
const cyclone = join(folder, "cyclone");
const fast = join(folder, "fast");
const keys = join(folder, "keys");
const node = join(folder, "node");

const SPDP = /^info-ts data:000100c2:5$/;
const PLAIN = {
  announcement: /^info-ts data:000100c2:[5]( 80)?$/,
  publication: /data:000003c2:5/,
  subscription: /data:000004c2:5/,
  heartbeat: /^(info-dst )?heartbeat:000003c2/,
  acknack: /acknack:000003c2/,
  sample: /data:[0-9a-f]{6}0[23]:[57]/,
  "dispose of the publication": /data:000003c2:[3b]/,
  dispose: /data:000100c2:[3b]/,
};
const ANNOUNCED = { announcement: PLAIN.announcement, dispose: PLAIN.dispose };

const cycloneUri = (settings: string): Record<string, string> => ({
  CYCLONEDDS_URI: `<CycloneDDS><Domain>${settings}</Domain></CycloneDDS>`,
});
const connext = (role: string, seconds: number): readonly string[] => [
  node,
  join(VENDORS_FOLDER, "connext.cjs"),
  options.connext ?? "",
  role,
  String(seconds),
];

const CYCLONE: readonly Scenario[] = [
  { name: "plain", a: [cyclone, "0", "pub", "3", "16", "16"], b: [cyclone, "0", "sub", "4", "16", "0"], wanted: PLAIN },
  {
    name: "large",
    a: [cyclone, "0", "pub", "3", "4000", "20000"],
    b: [cyclone, "0", "sub", "4", "4000", "0"],
    wanted: {
      "first fragment of the publication": /data-frag:000003c2:1$/,
      "last fragment of the publication": /data-frag:000003c2:1 heartbeat/,
      "nack-frag": /nack-frag:000003c2/,
      "heartbeat-frag": /heartbeat-frag/,
    },
  },
  {
    name: "domain 3, tag line-2",
    a: [cyclone, "3", "none", "1", "0", "0"],
    environment: cycloneUri("<Discovery><Tag>line-2</Tag></Discovery>"),
    wanted: ANNOUNCED,
  },
  {
    name: "IPv6",
    a: [cyclone, "0", "none", "1", "0", "0"],
    environment: cycloneUri("<General><Transport>udp6</Transport></General>"),
    wanted: { announcement: SPDP },
  },
];
const FAST: readonly Scenario[] = [
  {
    name: "plain",
    a: [fast, "0", "pub", "3", "16", "16", "0"],
    b: [fast, "0", "sub", "4", "16", "0", "0"],
    wanted: PLAIN,
  },
  {
    name: "large",
    a: [fast, "0", "pub", "3", "4000", "20000", "1400"],
    b: [fast, "0", "sub", "4", "4000", "0", "1400"],
    wanted: { "first fragment of the publication": /data-frag:000003c2/ },
  },
  { name: "IPv6", a: [fast, "0", "none", "1", "16", "0", "0", "v6"], wanted: ANNOUNCED },
  {
    name: "secured",
    a: [fast, "0", "pub", "3", "16", "16", "0", "secure", keys],
    b: [fast, "0", "sub", "4", "16", "0", "0", "secure", keys],
    wanted: {
      ...ANNOUNCED,
      handshake: /data:000201c3/,
      "protected submessages": /^info-dst 31 30 32/,
      "protected message": /^33 30 34/,
    },
  },
];
const CONNEXT: readonly Scenario[] = [
  {
    name: "plain",
    a: connext("pub", 4),
    b: connext("sub", 6),
    wanted: { ...PLAIN, "RTPX announcement": /^not RTPS$/, ping: /^short$/ },
  },
  { name: "domain 3, tag line-2", a: connext("tagged", 3), wanted: ANNOUNCED },
];

/** Participants tell each other the machine's name: it is not for the vectors. Neither is the path of our Node. */
const NAMED = 'hostname recorder; exec "$0" "$@"';

const NAMES: Readonly<Record<number, string>> = {
  1: "pad",
  6: "acknack",
  7: "heartbeat",
  8: "gap",
  9: "info-ts",
  12: "info-src",
  14: "info-dst",
  18: "nack-frag",
  19: "heartbeat-frag",
  21: "data",
  22: "data-frag",
};

/** A datagram in one line: the name (or id) of each submessage, the writer, and of data the flags. */
function shape(datagram: Buffer): string {
  const names: string[] = [];
  if (datagram.length < 20) return "short";
  if (datagram.subarray(0, 4).toString() !== "RTPS") return "not RTPS";
  for (let at = 20; at + 4 <= datagram.length; ) {
    const id = datagram.readUInt8(at);
    const flags = datagram.readUInt8(at + 1);
    const length = flags & 1 ? datagram.readUInt16LE(at + 2) : datagram.readUInt16BE(at + 2);
    const name = NAMES[id] ?? id.toString(16);
    if (name.startsWith("data")) {
      names.push(`${name}:${datagram.toString("hex", at + 12, at + 16)}:${flags.toString(16)}`);
    } else if (/ack|heartbeat|gap/.test(name)) names.push(`${name}:${datagram.toString("hex", at + 8, at + 12)}`);
    else names.push(name);
    at += 4 + (length === 0 && id !== 1 && id !== 9 ? datagram.length : length);
  }
  return names.join(" ");
}

const ip = (...args: readonly string[]): string => execFileSync("ip", args, { encoding: "utf8" });

/** Datagrams up to 64 KiB are not fragmented: nothing has to be put together again. */
function joinNamespaces(): void {
  for (const name of ["a", "b"]) ip("netns", "add", name);
  ip(..."link add va netns a mtu 65535 type veth peer name vb netns b mtu 65535".split(" "));
  for (const [index, name] of ["a", "b"].entries()) {
    const inside = (command: string) => ip("-n", name, ...command.split(" "));
    inside("link set lo up");
    inside(`address add 10.71.0.${index + 1}/24 dev v${name}`);
    inside(`address add fd71::${index + 1}/64 dev v${name} nodad`);
    inside(`link set v${name} up`);
    inside(`route add 239.0.0.0/8 dev v${name}`);
  }
}

function isSeen(value: unknown): value is Seen {
  return typeof value === "object" && value !== null && "hex" in value;
}

async function run({ name, a, b, environment, wanted }: Scenario): Promise<object[]> {
  const sniffer = spawn("ip", ["netns", "exec", "a", "python3", join(here, "sniff.py"), "va"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const seen: Seen[] = [];
  const lines = createInterface({ input: sniffer.stdout });
  const ready = Promise.withResolvers<void>();
  lines.on("line", (line) => {
    const value: unknown = JSON.parse(line);
    if (isSeen(value)) seen.push(value);
    else ready.resolve();
  });
  await ready.promise;
  const participants = Object.entries({ a, b }).flatMap(([namespace, command]) =>
    command === undefined
      ? []
      : spawn("ip", ["netns", "exec", namespace, "unshare", "--uts", "sh", "-c", NAMED, ...command], {
          stdio: ["ignore", "ignore", "inherit"],
          env: { ...process.env, ...environment },
        }),
  );
  await Promise.all(participants.map((participant) => once(participant, "exit")));
  sniffer.kill();
  await once(lines, "close");
  return Object.entries(wanted).map(([what, expression]) => {
    const found = seen.find(({ hex }) => expression.test(shape(Buffer.from(hex, "hex"))));
    if (found === undefined) throw new Error(`${name}: no ${what} among ${seen.length} datagrams`);
    return { name: `${name}: ${what}`, ...found };
  });
}

async function record(vendor: string, version: string, scenarios: readonly Scenario[]): Promise<void> {
  const datagrams: object[] = [];
  for (const scenario of scenarios) datagrams.push(...(await run(scenario)));
  const file = join(here, "../vectors", `${vendor}.json`);
  writeFileSync(file, `${JSON.stringify({ version, datagrams }, undefined, 2)}\n`);
  console.log(`${file}: ${datagrams.length} datagrams of ${version}`);
}

function debianVersion(name: string): string {
  const [, version = ""] = execFileSync("dpkg-query", ["--show", name], { encoding: "utf8" }).trim().split("\t");
  return version;
}

try {
  compileVendorPrograms(folder);
  execFileSync("sh", [join(VENDORS_FOLDER, "certificates.sh"), keys], { stdio: "ignore" });
  copyFileSync(process.execPath, node);
  joinNamespaces();
  await record("cyclone", `Cyclone DDS, Debian cyclonedds-dev ${debianVersion("cyclonedds-dev")}`, CYCLONE);
  await record("fast", `Fast DDS, Debian libfastrtps-dev ${debianVersion("libfastrtps-dev")}`, FAST);
  if (options.connext !== undefined) {
    const manifest = readFileSync(join(options.connext, "node_modules/rticonnextdds-connector/package.json"), "utf8");
    const version = /"version": "([^"]+)"/.exec(manifest)?.[1];
    await record("connext", `RTI Connext, npm rticonnextdds-connector ${version}`, CONNEXT);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
