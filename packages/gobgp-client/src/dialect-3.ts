import { create, type DescMessage, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import type { Dialect, WatchMessage } from "./dialect.ts";
import * as pb from "./gen/gobgp3_pb.js";
import type { CallOptions } from "./grpc-channel.ts";
import type { Prefix } from "./ip.ts";
import type { Path, WirePath } from "./path.ts";
import type { PolicyPlan, PolicyStatement, WireAttributes } from "./policy.ts";
import type { TypedChannel } from "./typed-channel.ts";
import { globalFromWire } from "./wire-global.ts";
import { attributesOf, pathFromWire, type WireAttribute } from "./wire-path.ts";
import { familyInit, isConfiguredAs, peerFromWire, peerInit, sessionFromWire } from "./wire-peer.ts";

const api = pb.GobgpApi.method;

/** GoBGP 3.x: NLRI and attributes inside `google.protobuf.Any`, enums from 0. */
export function dialect3(channel: TypedChannel): Dialect {
  return {
    name: "3.x",
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
      await channel.unary(api.addPeer, { peer: peerInit(peer) }, options);
    },
    async deletePeer(address, options) {
      await channel.unary(api.deletePeer, { address }, options);
    },
    async listPeers(address, options) {
      const peers = [];
      for await (const { peer } of channel.stream(api.listPeer, { address, enableAdvertised: true }, options)) {
        if (!peer) continue;
        peers.push({
          peer: peerFromWire(peer, pb.PeerState_AdminState.UP, undefined),
          isConfiguredAs: (wanted: Parameters<typeof isConfiguredAs>[1]) => isConfiguredAs(peer, wanted),
        });
      }
      return peers;
    },
    async addPath(path, options) {
      await channel.unary(api.addPath, { tableType: pb.TableType.GLOBAL, path: pathInit3(path) }, options);
    },
    async deletePath(family, address, length, options) {
      const prefix = { family, address, length };
      const request = { tableType: pb.TableType.GLOBAL, family: familyInit(family), path: withdrawInit3(prefix) };
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
          const path = pathFrom3(message);
          if (path) paths.push(path);
        }
      }
      return paths;
    },
    async setPolicies(plan, options) {
      await channel.unary(api.setPolicies, policiesInit3(plan), options);
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
      await channel.unary(
        api.resetPeer,
        { soft: true, direction: pb.ResetPeerRequest_SoftResetDirection.BOTH },
        options,
      );
    },
    async *watch(kind, options: CallOptions): AsyncGenerator<WatchMessage, void, undefined> {
      const request =
        kind === "peers"
          ? { peer: {} }
          : { table: { filters: [{ type: pb.WatchEventRequest_Table_Filter_Type.BEST, init: true }] } };
      for await (const { event } of channel.stream(api.watchEvent, request, options)) {
        const message = watchMessage3(event);
        if (message) yield message;
      }
    },
  };
}

function watchMessage3(event: pb.WatchEventResponse["event"]): WatchMessage | undefined {
  if (event.case === "table") {
    return {
      kind: "paths",
      paths: event.value.paths.flatMap((message) => {
        const path = pathFrom3(message);
        return path ? [{ path, withdrawn: message.isWithdraw }] : [];
      }),
    };
  }
  if (event.case !== "peer") return undefined;
  const { type, peer } = event.value;
  if (type === pb.WatchEventResponse_PeerEvent_Type.END_OF_INIT) return { kind: "peer-init-end" };
  if (!peer) return undefined;
  const session = sessionFromWire(peer, pb.PeerState_AdminState.UP);
  return { kind: type === pb.WatchEventResponse_PeerEvent_Type.INIT ? "peer-init" : "peer-state", session };
}

const schemas = {
  origin: pb.OriginAttributeSchema,
  asPath: pb.AsPathAttributeSchema,
  nextHop: pb.NextHopAttributeSchema,
  mpReach: pb.MpReachNLRIAttributeSchema,
  multiExitDisc: pb.MultiExitDiscAttributeSchema,
  localPref: pb.LocalPrefAttributeSchema,
  communities: pb.CommunitiesAttributeSchema,
  largeCommunities: pb.LargeCommunitiesAttributeSchema,
} as const;

function pack<T extends DescMessage>(schema: T, init: MessageInitShape<T>): Any {
  return anyPack(schema, create(schema, init));
}

function packAttribute(attribute: WireAttribute): Any {
  switch (attribute.case) {
    case "origin":
      return pack(schemas.origin, attribute.value);
    case "asPath":
      return pack(schemas.asPath, attribute.value);
    case "nextHop":
      return pack(schemas.nextHop, attribute.value);
    case "mpReach":
      return pack(schemas.mpReach, { nextHops: [...attribute.value.nextHops] });
    case "multiExitDisc":
      return pack(schemas.multiExitDisc, attribute.value);
    case "localPref":
      return pack(schemas.localPref, attribute.value);
    case "communities":
      return pack(schemas.communities, attribute.value);
    case "largeCommunities":
      return pack(schemas.largeCommunities, attribute.value);
  }
}

function nlriInit3(prefix: Prefix): Any {
  return pack(pb.IPAddressPrefixSchema, { prefix: prefix.address, prefixLen: prefix.length });
}

function nextHop3(prefix: Prefix, nextHop: string): Any {
  if (prefix.family === "ipv4-unicast") return pack(schemas.nextHop, { nextHop });
  return pack(schemas.mpReach, { family: familyInit(prefix.family), nextHops: [nextHop], nlris: [nlriInit3(prefix)] });
}

export function pathInit3(path: WirePath): MessageInitShape<typeof pb.PathSchema> {
  return {
    family: familyInit(path.prefix.family),
    nlri: nlriInit3(path.prefix),
    pattrs: [...attributesOf(path).map(packAttribute), nextHop3(path.prefix, path.nextHop)],
  };
}

/** The daemon wants a next hop even in a withdrawal, and does not look at it. */
function withdrawInit3(prefix: Prefix): MessageInitShape<typeof pb.PathSchema> {
  return {
    family: familyInit(prefix.family),
    nlri: nlriInit3(prefix),
    pattrs: [nextHop3(prefix, prefix.family === "ipv4-unicast" ? "0.0.0.0" : "::")],
    isWithdraw: true,
  };
}

export function pathFrom3(message: pb.Path): Path | undefined {
  const nlri = message.nlri && unpack(pb.IPAddressPrefixSchema, message.nlri);
  return pathFromWire(
    message,
    nlri,
    message.pattrs.map(unpackAttribute).filter((attribute) => attribute !== undefined),
  );
}

function unpack<T extends DescMessage>(schema: T, any: Any) {
  return any.typeUrl.endsWith(`/${schema.typeName}`) ? fromBinary(schema, any.value) : undefined;
}

function unpackAttribute(any: Any): WireAttribute | undefined {
  switch (any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1)) {
    case schemas.origin.typeName:
      return { case: "origin", value: fromBinary(schemas.origin, any.value) };
    case schemas.asPath.typeName:
      return { case: "asPath", value: fromBinary(schemas.asPath, any.value) };
    case schemas.nextHop.typeName:
      return { case: "nextHop", value: fromBinary(schemas.nextHop, any.value) };
    case schemas.mpReach.typeName:
      return { case: "mpReach", value: fromBinary(schemas.mpReach, any.value) };
    case schemas.multiExitDisc.typeName:
      return { case: "multiExitDisc", value: fromBinary(schemas.multiExitDisc, any.value) };
    case schemas.localPref.typeName:
      return { case: "localPref", value: fromBinary(schemas.localPref, any.value) };
    case schemas.communities.typeName:
      return { case: "communities", value: fromBinary(schemas.communities, any.value) };
    case schemas.largeCommunities.typeName:
      return { case: "largeCommunities", value: fromBinary(schemas.largeCommunities, any.value) };
    default:
      return undefined;
  }
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

function policiesInit3(plan: PolicyPlan): MessageInitShape<typeof pb.SetPoliciesRequestSchema> {
  const statement = (entry: PolicyStatement): MessageInitShape<typeof pb.StatementSchema> => ({
    name: entry.name,
    conditions: {
      ...(entry.prefixSet === undefined ? {} : { prefixSet: { type: pb.MatchSet_Type.ANY, name: entry.prefixSet } }),
      ...(entry.neighborSet === undefined
        ? {}
        : { neighborSet: { type: pb.MatchSet_Type.ANY, name: entry.neighborSet } }),
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
