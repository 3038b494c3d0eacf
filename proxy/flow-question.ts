import { z } from "zod";
import { parseEndpoint } from "#shared/net/endpoint.ts";
import { familyOf } from "#shared/net/ip.ts";
import type { Leg } from "#shared/resolve/intent-types.ts";
import type { Packet } from "#shared/resolve/locate.ts";
import type { Whereabouts } from "./moves/whereabouts.ts";

const protocols = z.enum(["TCP", "UDP", "SCTP"]);

/** What `GET /flow` answers: where packets of a flow go on this instance. */
interface FlowAnswer {
  readonly result: Whereabouts["location"]["kind"];
  /** The owner of the flow's slot: where a flow goes that begins now. */
  readonly owner?: string;
  readonly moved?: "learning" | "settled";
  readonly former?: string;
  readonly kept?: string;
  /** Primary network: the target of the connection, as it is tracked here. */
  readonly tracked?: string;
  /** Where a packet goes that begins no flow. */
  readonly target?: string;
}

/**
 * `GET /flow?protocol=TCP&from=ADDRESS:PORT&to=ADDRESS:PORT`.
 * @returns undefined when the question makes no sense, or nothing is programmed yet.
 */
export function answerFlow(
  query: URLSearchParams,
  locate: (packet: Packet) => Whereabouts | undefined,
): FlowAnswer | undefined {
  const protocol = protocols.safeParse(query.get("protocol")?.toUpperCase());
  const [from, to] = [parseEndpoint(query.get("from") ?? ""), parseEndpoint(query.get("to") ?? "")];
  if (!protocol.success || from === undefined || to === undefined) return undefined;
  if (familyOf(from.address) !== familyOf(to.address)) return undefined;
  const found = locate({
    protocol: protocol.data,
    source: from.address,
    sourcePort: from.port,
    destination: to.address,
    destinationPort: to.port,
  });
  if (found === undefined) return undefined;
  const { location, moved, former, kept, tracked, leg } = found;
  const named = (name: "owner" | "former" | "kept" | "tracked" | "target", of: Leg | undefined) =>
    of && { [name]: of.target };
  return {
    result: location.kind,
    ...named("owner", location.kind === "target" ? location.leg : undefined),
    ...(moved && { moved }),
    ...named("former", former),
    ...named("kept", kept),
    ...named("tracked", tracked),
    ...named("target", leg),
  };
}
