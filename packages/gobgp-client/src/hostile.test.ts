import { expect, test } from "vitest";
import { InvalidArgumentError } from "./errors.ts";
import { checkGlobal } from "./global.ts";
import { parseAddress } from "./grpc-channel.ts";
import { checkPath, type PathConfig } from "./path.ts";
import { checkPeer, type PeerConfig } from "./peer.ts";
import { type PeerPolicies, planPolicies } from "./policy.ts";

/** Runs it and returns the field of the InvalidArgumentError that it must throw. */
function refusedField(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidArgumentError);
    if (error instanceof InvalidArgumentError) return error.field;
  }
  return "accepted";
}

const peer: PeerConfig = { address: "192.0.2.1", peerAsn: 65001 };
const path: PathConfig = { prefix: "192.0.2.1/32", nextHop: "192.0.2.9" };

// JSON carries what TypeScript would not let through: callers feed these objects from files.
const parsed = (text: string) => JSON.parse(text);

test.each<[string, object]>([
  ["address", { address: "192.0.2.256" }],
  ["address", { address: "host.example" }],
  ["address", { address: null }],
  ["peerAsn", { peerAsn: 0 }],
  ["peerAsn", { peerAsn: 4294967296 }],
  ["peerAsn", { peerAsn: 1.5 }],
  ["peerAsn", { peerAsn: "65001" }],
  ["localAsn", { localAsn: -1 }],
  ["password", { password: "" }],
  ["password", { password: "x".repeat(81) }],
  ["password", { password: "a\0b" }],
  ["description", { description: "\ud800" }],
  ["multihop", { multihop: { ttl: 2 }, ttlSecurity: { ttlMin: 255 } }],
  ["ttlSecurity.ttlMin", { ttlSecurity: { ttlMin: 256 } }],
  ["multihop.ttl", { multihop: { ttl: 0 } }],
  ["timers.holdTimeSeconds", { timers: { holdTimeSeconds: 2 } }],
  ["timers.keepaliveSeconds", { timers: { holdTimeSeconds: 3, keepaliveSeconds: 3 } }],
  ["localAddress", { localAddress: "eth0" }],
  ["bindInterface", { bindInterface: "a/b" }],
  ["bindInterface", { bindInterface: "sixteen-letters-" }],
  ["remotePort", { remotePort: 65536 }],
  ["families", { families: [] }],
  ["families[0].family", { families: [{ family: "l2vpn-evpn" }] }],
  ["families[1].family", { families: [{ family: "ipv4-unicast" }, { family: "ipv4-unicast" }] }],
  ["families[0].maxPrefixes", { families: [{ family: "ipv4-unicast", maxPrefixes: 0 }] }],
  ["gracefulRestart.restartTimeSeconds", { gracefulRestart: { restartTimeSeconds: 4096 } }],
  ["gracefulRestart.deferralSeconds", { gracefulRestart: { restartTimeSeconds: 9, deferralSeconds: 0 } }],
  ["bfd.detectMultiplier", { bfd: { desiredMinTxMs: 100, requiredMinRxMs: 100, detectMultiplier: 0 } }],
])("peer with a bad %s is refused: %j", (field, change) => {
  expect(refusedField(() => checkPeer({ ...peer, ...parsed(JSON.stringify(change)) }))).toBe(field);
});

test.each<[string, object]>([
  ["prefix", { prefix: "192.0.2.1" }],
  ["prefix", { prefix: "192.0.2.1/24" }],
  ["prefix", { prefix: 7 }],
  ["nextHop", { nextHop: "" }],
  ["nextHop", { nextHop: "2001:db8::1" }],
  ["origin", { origin: "IGP" }],
  ["asPath[1]", { asPath: [65001, 4294967296] }],
  ["asPath", { asPath: new Array(256).fill(1) }],
  ["communities[0]", { communities: ["65536:1"] }],
  ["communities[1]", { communities: ["1:1", 5] }],
  ["communities", { communities: "1:1" }],
  ["largeCommunities[0]", { largeCommunities: ["1:1"] }],
  ["localPref", { localPref: -1 }],
  ["med", { med: 4294967296 }],
])("path with a bad %s is refused: %j", (field, change) => {
  expect(refusedField(() => checkPath({ ...path, ...parsed(JSON.stringify(change)) }))).toBe(field);
});

test.each<[string, object]>([
  ["asn", { asn: 0 }],
  ["routerId", { routerId: "::1" }],
  ["listenPort", { listenPort: 0 }],
  ["listenPort", { listenPort: -2 }],
  ["listenAddresses", { listenAddresses: [] }],
  ["listenAddresses[0]", { listenAddresses: ["any"] }],
  ["bindToDevice", { bindToDevice: "" }],
])("start with a bad %s is refused: %j", (field, change) => {
  expect(refusedField(() => checkGlobal({ asn: 1, routerId: "192.0.2.1", ...parsed(JSON.stringify(change)) }))).toBe(
    field,
  );
});

test("policies name the entry that is wrong", () => {
  const one = (change: object): PeerPolicies =>
    parsed(JSON.stringify({ peers: [{ peer: "192.0.2.1", importPrefixes: "all", exportPrefixes: [], ...change }] }));
  expect(refusedField(() => planPolicies(one({ peer: "x" })))).toBe("peers[0].peer");
  expect(refusedField(() => planPolicies(one({ importPrefixes: [{ prefix: "1.2.3.4/8" }] })))).toBe(
    "peers[0].importPrefixes[0].prefix",
  );
  expect(refusedField(() => planPolicies(one({ exportPrefixes: [{ prefix: "10.0.0.0/8", minLength: 7 }] })))).toBe(
    "peers[0].exportPrefixes[0].minLength",
  );
  expect(refusedField(() => planPolicies(one({ exportPrefixes: [{ prefix: "10.0.0.0/8", maxLength: 33 }] })))).toBe(
    "peers[0].exportPrefixes[0].maxLength",
  );
  const [first] = one({}).peers;
  expect(refusedField(() => planPolicies({ peers: first ? [first, first] : [] }))).toBe("peers[1].peer");
});

test("a password is never quoted in a message", () => {
  const secret = `hunter2${"x".repeat(80)}`;
  expect(() => checkPeer({ ...peer, password: secret })).toThrow(
    expect.objectContaining({ message: expect.not.stringContaining("hunter2") }),
  );
});

test("the API's address is a host with a port or an absolute socket path", () => {
  expect(parseAddress("unix:///run/gobgpd.sock")).toEqual({ kind: "unix", path: "/run/gobgpd.sock" });
  expect(parseAddress("127.0.0.1:50051")).toEqual({ kind: "tcp", host: "127.0.0.1", port: 50051 });
  expect(parseAddress("[::1]:50051")).toEqual({ kind: "tcp", host: "::1", port: 50051 });
  for (const text of [
    "",
    "host",
    "host:0",
    "host:65536",
    "::1:50051",
    "unix://run/x",
    `unix:///${"x".repeat(108)}`,
    "http://h:1",
  ]) {
    expect(parseAddress(text)).toBeUndefined();
  }
});
