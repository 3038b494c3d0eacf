import type { PortRange } from "#shared/api/fields.ts";
import type { Family, Ip } from "#shared/net/ip.ts";
import type { Flow, Intent, Leg } from "#shared/resolve/intent-types.ts";
import { mergeRanges } from "#shared/resolve/port-ranges.ts";
import { isPrimary } from "#shared/resolve/primary-network.ts";
import { protocolName, protocolNumber } from "./match.ts";

/** Replies of one target's port (or ports), and what their source becomes. */
export interface ReturnTranslation {
  /** Element of a map of (address, protocol, port or range). */
  readonly key: string;
  /** Whether `key` holds a range. */
  readonly range: boolean;
  /** nft statements that put the VIP, and the VIP's port where ports are translated. */
  readonly statements: readonly string[];
}

function portOf(flow: Flow): number | undefined {
  const [port] = flow.destinationPorts;
  return flow.destinationPorts.length === 1 && port?.from === port?.to ? port?.from : undefined;
}

interface Replies {
  readonly vip: Ip;
  /** Ports of a target that keep their number. */
  readonly kept: PortRange[];
}

/** How replies of an intent's targets are translated back in NAT mode, one family. Ranges of one target never overlap. */
export function returnTranslations(intent: Intent, family: Family): readonly ReturnTranslation[] {
  const ip = family === 4 ? "ip" : "ip6";
  const found = new Map<string, ReturnTranslation>();
  const kept = new Map<string, Replies>();
  for (const flow of intent.flows) {
    const [vip] = flow.vips;
    const table = flow.table === undefined ? undefined : intent.tables.get(flow.table);
    if (flow.family !== family || table === undefined || vip === undefined) continue;
    const legs = [...table.legs, ...flow.draining].flatMap((id) => intent.legs.get(id) ?? []);
    for (const leg of legs) {
      const { addresses, port } = leg;
      if (addresses[family] === undefined || isPrimary(leg)) continue;
      for (const protocol of flow.protocols) {
        const at = `${addresses[family]} . ${protocolNumber(protocol)}`;
        if (port === undefined) {
          const replies = kept.get(at) ?? { vip, kept: [] };
          kept.set(at, replies);
          replies.kept.push(...(flow.destinationPorts.length === 0 ? [{ from: 0, to: 65535 }] : flow.destinationPorts));
        } else {
          const key = `${at} . ${port}`;
          const statements = [`${protocolName(protocol)} sport set ${portOf(flow)}`, `${ip} saddr set ${vip}`];
          found.set(key, { key, range: false, statements });
        }
      }
    }
  }
  for (const [at, { vip, kept: ports }] of kept) {
    for (const { from, to } of mergeRanges(ports)) {
      const key = `${at} . ${from === to ? from : `${from}-${to}`}`;
      found.set(key, { key, range: from !== to, statements: [`${ip} saddr set ${vip}`] });
    }
  }
  return [...found.values()];
}

/** What a packet to a leg must be rewritten to in NAT mode; empty in DSR mode, and where connections are tracked. */
export function forwardTranslation(intent: Intent, leg: Leg, family: Family): readonly string[] {
  if (intent.mode === "DSR" || isPrimary(leg)) return [];
  const address = family === 4 ? `ip daddr set ${leg.addresses[4]}` : `ip6 daddr set ${leg.addresses[6]}`;
  const protocol = /:(tcp|udp|sctp)\/[0-9]+$/.exec(leg.key)?.[1];
  return [...(leg.port === undefined || protocol === undefined ? [] : [`${protocol} dport set ${leg.port}`]), address];
}
