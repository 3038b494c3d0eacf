import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatCommunity, formatLargeCommunity } from "./community.ts";
import { pathFrom3, pathInit3 } from "./dialect-3.ts";
import { pathFrom4, pathInit4, peerInit4 } from "./dialect-4.ts";
import * as v3 from "./gen/gobgp3_pb.js";
import * as v4 from "./gen/gobgp4_pb.js";
import { formatAddress } from "./ip.ts";
import { checkPath, origins, type PathConfig } from "./path.ts";
import { checkPeer } from "./peer.ts";
import { peerInit, sessionFromWire } from "./wire-peer.ts";

const u32 = fc.integer({ min: 0, max: 0xffffffff });
const asn = fc.integer({ min: 1, max: 0xffffffff });
const address = (bytes: number) =>
  fc.array(fc.nat(255), { minLength: bytes, maxLength: bytes }).map((a) => formatAddress(Uint8Array.from(a)));

/** Any path that may be advertised. */
const anyPath: fc.Arbitrary<PathConfig> = fc.boolean().chain((isV6) =>
  fc.record(
    {
      prefix: address(isV6 ? 16 : 4).map((text) => `${text}/${isV6 ? 128 : 32}`),
      nextHop: address(isV6 ? 16 : 4),
      origin: fc.constantFrom(...origins),
      asPath: fc.array(asn, { maxLength: 5 }),
      communities: fc.array(u32.map(formatCommunity), { maxLength: 5 }),
      largeCommunities: fc.array(
        fc.record({ globalAdmin: u32, localData1: u32, localData2: u32 }).map(formatLargeCommunity),
        { maxLength: 3 },
      ),
      localPref: u32,
      med: u32,
    },
    { requiredKeys: ["prefix", "nextHop"] },
  ),
);

/** What a path that was sent looks like when it is listed. */
function expected(config: PathConfig) {
  return {
    prefix: config.prefix,
    nextHop: config.nextHop,
    origin: config.origin ?? "igp",
    asPath: config.asPath ?? [],
    communities: config.communities ?? [],
    largeCommunities: config.largeCommunities ?? [],
    localPref: config.localPref,
    med: config.med,
    neighbor: undefined,
  };
}

test("a path survives the 3.x wire format", () => {
  fc.assert(
    fc.property(anyPath, (config) => {
      const bytes = toBinary(v3.PathSchema, create(v3.PathSchema, pathInit3(checkPath(config))));
      expect(pathFrom3(fromBinary(v3.PathSchema, bytes))).toMatchObject(expected(config));
    }),
  );
});

test("a path survives the 4.x wire format", () => {
  fc.assert(
    fc.property(anyPath, (config) => {
      const bytes = toBinary(v4.PathSchema, create(v4.PathSchema, pathInit4(checkPath(config))));
      expect(pathFrom4(fromBinary(v4.PathSchema, bytes))).toMatchObject(expected(config));
    }),
  );
});

test("an AS_SET stays apart, paths of other families and unknown attributes are passed over", () => {
  const wire = checkPath({ prefix: "192.0.2.1/32", nextHop: "192.0.2.9" });
  const segments = [
    { type: 2, numbers: [65010] },
    { type: 1, numbers: [1, 2] },
  ];
  const four = create(v4.PathSchema, pathInit4(wire));
  four.pattrs = [
    create(v4.AttributeSchema, { attr: { case: "asPath", value: { segments } } }),
    create(v4.AttributeSchema),
  ];
  expect(pathFrom4(four)?.asPath).toEqual([65010, [1, 2]]);
  four.family = create(v4.FamilySchema, { afi: 1, safi: 0 });
  expect(pathFrom4(four)).toBeUndefined();
  const other = create(v4.PathSchema, pathInit4(wire));
  other.nlri = create(v4.NLRISchema);
  expect(pathFrom4(other)).toBeUndefined();
  const three = create(v3.PathSchema, pathInit3(wire));
  if (three.nlri) three.nlri.typeUrl = "type.googleapis.com/apipb.EVPNMACIPAdvertisementRoute";
  expect(pathFrom3(three)).toBeUndefined();
});

test("the enums that 4.x shifted by one, and those it left", () => {
  const pairs: [number, number][] = [
    [v3.TableType.GLOBAL, v4.TableType.GLOBAL],
    [v3.TableType.ADJ_IN, v4.TableType.ADJ_IN],
    [v3.TableType.ADJ_OUT, v4.TableType.ADJ_OUT],
    [v3.WatchEventRequest_Table_Filter_Type.BEST, v4.WatchEventRequest_Table_Filter_Type.BEST],
    [v3.TableLookupPrefix_Type.EXACT, v4.TableLookupPrefix_Type.EXACT],
    [v3.MatchSet_Type.ANY, v4.MatchSet_Type.ANY],
    [v3.DefinedType.PREFIX, v4.DefinedType.PREFIX],
    [v3.DefinedType.NEIGHBOR, v4.DefinedType.NEIGHBOR],
    [v3.ResetPeerRequest_SoftResetDirection.BOTH, v4.ResetPeerRequest_Direction.BOTH],
    [v3.PeerState_AdminState.UP, v4.PeerState_AdminState.UP],
    [v3.PeerState_AdminState.PFX_CT, v4.PeerState_AdminState.PFX_CT],
  ];
  for (const [three, four] of pairs) expect(four).toBe(three + 1);
  expect([v3.TableType.GLOBAL, v3.TableType.ADJ_IN, v3.TableType.ADJ_OUT]).toEqual([0, 2, 3]);
  expect(v4.PeerState_SessionState.ESTABLISHED).toBe(Number(v3.PeerState_SessionState.ESTABLISHED));
  expect(v4.RouteAction.REJECT).toBe(Number(v3.RouteAction.REJECT));
  expect(v4.PolicyDirection.EXPORT).toBe(Number(v3.PolicyDirection.EXPORT));
  expect(v4.WatchEventResponse_PeerEvent_Type.STATE).toBe(Number(v3.WatchEventResponse_PeerEvent_Type.STATE));
});

test("the same admin state from either dialect", () => {
  const state = (adminState: number) => ({
    conf: { neighborAddress: "192.0.2.1" },
    state: { adminState, sessionState: 6 },
  });
  for (const [i, name] of ["up", "down", "prefix-limit"].entries()) {
    const three = sessionFromWire(create(v3.PeerSchema, state(i)), v3.PeerState_AdminState.UP);
    const four = sessionFromWire(create(v4.PeerSchema, state(i + 1)), v4.PeerState_AdminState.UP);
    expect(three).toEqual(four);
    expect(three).toMatchObject({ adminState: name, state: "established", address: "192.0.2.1" });
  }
});

// Below, bytes written out by hand from field numbers and types: tag = number << 3 | wire type, then length or varint.
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const tag = (number: number, type: 0 | 2): string => {
  const value = (number << 3) | type;
  return value < 128
    ? Buffer.from([value]).toString("hex")
    : Buffer.from([(value & 127) | 128, value >> 7]).toString("hex");
};
const len = (number: number, body: string): string =>
  tag(number, 2) + Buffer.from([body.length / 2]).toString("hex") + body;
const text = (number: number, value: string): string => len(number, Buffer.from(value).toString("hex"));

test("bytes of a 4.x IPv4 path", () => {
  const init = pathInit4(checkPath({ prefix: "192.0.2.1/32", nextHop: "10.9.0.1", med: 5, communities: ["0:1"] }));
  const nlri = len(1, len(1, `0820${text(2, "192.0.2.1")}`)); // Path.nlri > NLRI.prefix > prefix_len 32, prefix
  const attributes =
    len(2, len(2, "")) + // Path.pattrs > Attribute.origin, whose 0 is not written
    len(2, len(5, "0805")) + // multi_exit_disc > med 5
    len(2, len(9, "0a0101")) + // communities > packed [1]
    len(2, len(4, text(1, "10.9.0.1"))); // next_hop
  const family = "4a0408011001"; // field 9: afi 1, safi 1
  expect(hex(toBinary(v4.PathSchema, create(v4.PathSchema, init)))).toBe(nlri + attributes + family);
});

test("bytes of a 4.x IPv6 path carry the next hop in MP_REACH_NLRI", () => {
  const init = pathInit4(checkPath({ prefix: "2001:db8::1/128", nextHop: "fd00::1" }));
  const prefix = `088001${text(2, "2001:db8::1")}`;
  const reach = len(1, "08021001") + text(2, "fd00::1") + len(3, len(1, prefix));
  const bytes = len(1, len(1, prefix)) + len(2, len(2, "")) + len(2, len(12, reach)) + len(9, "08021001");
  expect(hex(toBinary(v4.PathSchema, create(v4.PathSchema, init)))).toBe(bytes);
});

test("bytes of 4.x requests: table type, watch filter, bind_to_device, BFD in microseconds", () => {
  const list = create(v4.ListPathRequestSchema, { tableType: v4.TableType.GLOBAL, family: { afi: 1, safi: 1 } });
  expect(hex(toBinary(v4.ListPathRequestSchema, list))).toBe("08011a0408011001");
  const filters = [{ type: v4.WatchEventRequest_Table_Filter_Type.BEST, init: true }];
  const watch = create(v4.WatchEventRequestSchema, { table: { filters } });
  expect(hex(toBinary(v4.WatchEventRequestSchema, watch))).toBe("12060a0408011001");
  const global = { asn: 1, listenPort: -1, bindToDevice: "a" };
  expect(hex(toBinary(v4.GlobalSchema, create(v4.GlobalSchema, global)))).toBe(
    "0801" + "18ffffffffffffffffff01" + "5a0161",
  );
  expect(hex(toBinary(v3.GlobalSchema, create(v3.GlobalSchema, global)))).toBe(
    "0801" + "18ffffffffffffffffff01" + "620161",
  );
  const bfd = { desiredMinTxMs: 100, requiredMinRxMs: 100, detectMultiplier: 3 };
  const peer = create(v4.PeerSchema, peerInit4(checkPeer({ address: "192.0.2.1", peerAsn: 1, bfd })));
  // Field 12: enabled, port 3784, two times 100,000 µs, multiplier 3.
  expect(hex(toBinary(v4.PeerSchema, peer))).toContain("620f080110c81d18a08d0620a08d062803");
});

test("bytes of a 4.x answer: an established peer, fields of no interest skipped", () => {
  const state = `${text(5, "192.0.2.1")}30e9fb0368067801${text(99, "unknown field")}${text(20, "9.9.9.9")}`;
  const message = fromBinary(v4.PeerSchema, Buffer.from(text(1, "skipped") + len(5, state), "hex"));
  expect(sessionFromWire(message, v4.PeerState_AdminState.UP)).toEqual({
    address: "192.0.2.1",
    peerAsn: 65001,
    state: "established",
    adminState: "up",
    routerId: "9.9.9.9",
  });
});

test("a peer's settings are the same message in both dialects but for BFD", () => {
  const init = peerInit(
    checkPeer({
      address: "2001:db8::1",
      peerAsn: 4200000000,
      password: "pässword",
      multihop: { ttl: 5 },
      families: [{ family: "ipv4-unicast", maxPrefixes: 7 }, { family: "ipv6-unicast" }],
      gracefulRestart: { restartTimeSeconds: 60, notification: true, restarting: true, deferralSeconds: 7 },
    }),
  );
  const three = toBinary(v3.PeerSchema, create(v3.PeerSchema, init));
  expect(hex(toBinary(v4.PeerSchema, create(v4.PeerSchema, init)))).toBe(hex(three));
});
