import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Dialect, WatchMessage } from "./dialect.ts";
import * as pb from "./gen/gobgp4_pb.js";
import type { CallOptions } from "./grpc-channel.ts";
import type { Prefix } from "./ip.ts";
import type { Path, WirePath } from "./path.ts";
import type { Peer, PeerBfd, WirePeer } from "./peer.ts";
import type { PolicyPlan, PolicyStatement, WireAttributes } from "./policy.ts";
import type { TypedChannel } from "./typed-channel.ts";
import { globalFromWire } from "./wire-global.ts";
import { attributesOf, pathFromWire, type WireAttribute } from "./wire-path.ts";
import { familyInit, isConfiguredAs, peerFromWire, peerInit, sessionFromWire } from "./wire-peer.ts";

const api = pb.GoBgpService.method;
const adminUp = pb.PeerState_AdminState.UP;

/** GoBGP 4.x: NLRI and attributes in `oneof`s, most enums from 1 because 0 is "unspecified". */
export function dialect4(channel: TypedChannel): Dialect {
  return {
    name: "4.x",
    async getBgp(options) {
      return globalFromWire((await channel.unary(api.getBgp, {}, options)).global);
    },
    async startBgp(global, options) {
      await channel.unary(
        api.startBgp,
        { global: { ...global, listenAddresses: [...global.listenAddresses] } },
        options,
      );
    },
    async stopBgp(options) {
      await channel.unary(api.stopBgp, {}, options);
    },
    async addPeer(peer, options) {
      await channel.unary(api.addPeer, { peer: peerInit4(peer) }, options);
    },
    async deletePeer(address, options) {
      await channel.unary(api.deletePeer, { address }, options);
    },
    async listPeers(address, options) {
      const peers = [];
      for await (const { peer } of channel.stream(api.listPeer, { address, enableAdvertised: true }, options)) {
        if (!peer) continue;
        peers.push({
          peer: peerFromWire(peer, adminUp, bfdState(peer)),
          isConfiguredAs: (wanted: WirePeer) => isConfiguredAs(peer, wanted) && isBfdAs(peer, wanted.bfd),
        });
      }
      return peers;
    },
    async addPath(path, options) {
      await channel.unary(api.addPath, { tableType: pb.TableType.GLOBAL, path: pathInit4(path) }, options);
    },
    async deletePath(family, address, length, options) {
      const prefix = { family, address, length };
      const request = { tableType: pb.TableType.GLOBAL, family: familyInit(family), path: withdrawInit4(prefix) };
      await channel.unary(api.deletePath, request, options);
    },
    async listPaths(query, options) {
      const tables = { global: pb.TableType.GLOBAL, "adj-in": pb.TableType.ADJ_IN, "adj-out": pb.TableType.ADJ_OUT };
      const request = {
        tableType: tables[query.table],
        name: query.table === "global" ? "" : query.neighbor,
        family: familyInit(query.family),
        prefixes: query.prefix === undefined ? [] : [{ prefix: query.prefix, type: pb.TableLookupPrefix_Type.EXACT }],
        enableFiltered: query.table === "adj-in",
      };
      const paths: Path[] = [];
      for await (const { destination } of channel.stream(api.listPath, request, options)) {
        for (const message of destination?.paths ?? []) {
          const path = pathFrom4(message);
          if (path) paths.push(path);
        }
      }
      return paths;
    },
    async setPolicies(plan, options) {
      await channel.unary(api.setPolicies, policiesInit4(plan), options);
      const defaultAction = plan.acceptByDefault ? pb.RouteAction.ACCEPT : pb.RouteAction.REJECT;
      for (const [name, direction] of [
        ["import", pb.PolicyDirection.IMPORT],
        ["export", pb.PolicyDirection.EXPORT],
      ] as const) {
        const assignment = { name: "global", direction, policies: [{ name }], defaultAction };
        await channel.unary(api.setPolicyAssignment, { assignment }, options);
      }
    },
    async softReset(options) {
      await channel.unary(api.resetPeer, { soft: true, direction: pb.ResetPeerRequest_Direction.BOTH }, options);
    },
    async *watch(kind, options: CallOptions): AsyncGenerator<WatchMessage, void, undefined> {
      const request =
        kind === "peers"
          ? { peer: {} }
          : { table: { filters: [{ type: pb.WatchEventRequest_Table_Filter_Type.BEST, init: true }] } };
      for await (const { event } of channel.stream(api.watchEvent, request, options)) {
        const message = watchMessage4(event);
        if (message) yield message;
      }
    },
  };
}

function watchMessage4(event: pb.WatchEventResponse["event"]): WatchMessage | undefined {
  if (event.case === "table") {
    return {
      kind: "paths",
      paths: event.value.paths.flatMap((message) => {
        const path = pathFrom4(message);
        return path ? [{ path, withdrawn: message.isWithdraw }] : [];
      }),
    };
  }
  if (event.case !== "peer") return undefined;
  const { type, peer } = event.value;
  if (type === pb.WatchEventResponse_PeerEvent_Type.END_OF_INIT) return { kind: "peer-init-end" };
  if (!peer) return undefined;
  const session = sessionFromWire(peer, adminUp);
  return { kind: type === pb.WatchEventResponse_PeerEvent_Type.INIT ? "peer-init" : "peer-state", session };
}

/** Intervals are microseconds on the wire. */
function bfdInit(bfd: PeerBfd) {
  return {
    enabled: true,
    port: bfd.port ?? 3784,
    desiredMinimumTxInterval: bfd.desiredMinTxMs * 1000,
    requiredMinimumReceive: bfd.requiredMinRxMs * 1000,
    detectionMultiplier: bfd.detectMultiplier,
  };
}

export function peerInit4(peer: WirePeer): MessageInitShape<typeof pb.PeerSchema> {
  return { ...peerInit(peer), ...(peer.bfd ? { bfd: bfdInit(peer.bfd) } : {}) };
}

/** Daemons before 4.5 have no BFD: they drop the field unread, so it is missing from what they list. */
function isBfdAs(listed: pb.Peer, wanted: PeerBfd | undefined): boolean {
  if (!wanted) return !listed.bfd?.enabled;
  const want = bfdInit(wanted);
  return (
    listed.bfd?.enabled === true &&
    listed.bfd.desiredMinimumTxInterval === want.desiredMinimumTxInterval &&
    listed.bfd.requiredMinimumReceive === want.requiredMinimumReceive &&
    listed.bfd.detectionMultiplier === want.detectionMultiplier &&
    (listed.bfd.port || 3784) === want.port
  );
}

function bfdState(peer: pb.Peer): Peer["bfd"] {
  if (!peer.bfd?.enabled) return undefined;
  switch (peer.state?.bfdState?.sessionState) {
    case pb.BfdSessionState.UP:
      return "up";
    case pb.BfdSessionState.ADMIN_DOWN:
      return "admin-down";
    case pb.BfdSessionState.INIT:
      return "init";
    default:
      return "down";
  }
}

type AttributeInit = MessageInitShape<typeof pb.AttributeSchema>;
type NlriInit = MessageInitShape<typeof pb.NLRISchema>;

function attributeInit4(attribute: WireAttribute): AttributeInit {
  if (attribute.case === "mpReach") {
    return { attr: { case: "mpReach", value: { nextHops: [...attribute.value.nextHops] } } };
  }
  return { attr: attribute };
}

function nlriInit4(prefix: Prefix): NlriInit {
  return { nlri: { case: "prefix", value: { prefix: prefix.address, prefixLen: prefix.length } } };
}

function nextHop4(prefix: Prefix, nextHop: string): AttributeInit {
  if (prefix.family === "ipv4-unicast") return { attr: { case: "nextHop", value: { nextHop } } };
  const value = { family: familyInit(prefix.family), nextHops: [nextHop], nlris: [nlriInit4(prefix)] };
  return { attr: { case: "mpReach", value } };
}

export function pathInit4(path: WirePath): MessageInitShape<typeof pb.PathSchema> {
  return {
    family: familyInit(path.prefix.family),
    nlri: nlriInit4(path.prefix),
    pattrs: [...attributesOf(path).map(attributeInit4), nextHop4(path.prefix, path.nextHop)],
  };
}

/** The daemon wants a next hop even in a withdrawal, and does not look at it. */
function withdrawInit4(prefix: Prefix): MessageInitShape<typeof pb.PathSchema> {
  return {
    family: familyInit(prefix.family),
    nlri: nlriInit4(prefix),
    pattrs: [nextHop4(prefix, prefix.family === "ipv4-unicast" ? "0.0.0.0" : "::")],
    isWithdraw: true,
  };
}

export function pathFrom4(message: pb.Path): Path | undefined {
  const nlri = message.nlri?.nlri;
  const attributes = message.pattrs.flatMap(({ attr }): WireAttribute[] => (attr.case === undefined ? [] : [attr]));
  return pathFromWire(message, nlri?.case === "prefix" ? nlri.value : undefined, attributes);
}

function attributeActions(set: WireAttributes): MessageInitShape<typeof pb.ActionsSchema> {
  const type = pb.CommunityAction_Type.ADD;
  return {
    ...(set.communities.length === 0 ? {} : { community: { type, communities: [...set.communities] } }),
    ...(set.largeCommunities.length === 0 ? {} : { largeCommunity: { type, communities: [...set.largeCommunities] } }),
    ...(set.localPref === undefined ? {} : { localPref: { value: set.localPref } }),
    ...(set.med === undefined ? {} : { med: { type: pb.MedAction_Type.REPLACE, value: BigInt(set.med) } }),
    ...(set.prepend === undefined ? {} : { asPrepend: { asn: set.prepend.asn, repeat: set.prepend.times } }),
  };
}

function policiesInit4(plan: PolicyPlan): MessageInitShape<typeof pb.SetPoliciesRequestSchema> {
  const any = pb.MatchSet_Type.ANY;
  const statement = (entry: PolicyStatement): MessageInitShape<typeof pb.StatementSchema> => ({
    name: entry.name,
    conditions: {
      ...(entry.prefixSet === undefined ? {} : { prefixSet: { type: any, name: entry.prefixSet } }),
      ...(entry.neighborSet === undefined ? {} : { neighborSet: { type: any, name: entry.neighborSet } }),
      ...(entry.localPathsOnly ? { routeType: pb.Conditions_RouteType.LOCAL } : {}),
    },
    actions: {
      routeAction: entry.accept ? pb.RouteAction.ACCEPT : pb.RouteAction.REJECT,
      ...(entry.set === undefined ? {} : attributeActions(entry.set)),
    },
  });
  return {
    definedSets: [
      ...plan.neighborSets.map(({ name, network }) => ({
        definedType: pb.DefinedType.NEIGHBOR,
        name,
        list: [network],
      })),
      ...plan.prefixSets.map(({ name, prefixes }) => ({
        definedType: pb.DefinedType.PREFIX,
        name,
        prefixes: prefixes.map(({ prefix, minLength, maxLength }) => ({
          ipPrefix: `${prefix.address}/${prefix.length}`,
          maskLengthMin: minLength,
          maskLengthMax: maxLength,
        })),
      })),
    ],
    policies: [
      { name: "import", statements: plan.import.map(statement) },
      { name: "export", statements: plan.export.map(statement) },
    ],
  };
}
