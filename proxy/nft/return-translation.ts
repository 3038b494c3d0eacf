import type { Family } from "#shared/net/ip.ts";
import type { Flow, Intent, Leg } from "#shared/resolve/intent-types.ts";
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

function keysOf(flow: Flow, leg: Leg): readonly { readonly key: string; readonly range: boolean }[] {
  if (leg.port !== undefined) return [{ key: String(leg.port), range: false }];
  const ports = flow.destinationPorts.length === 0 ? [{ from: 0, to: 65535 }] : flow.destinationPorts;
  return ports.map(({ from, to }) =>
    from === to ? { key: `${from}`, range: false } : { key: `${from}-${to}`, range: true },
  );
}

/** How replies of an intent's targets are translated back in NAT mode, one family. */
export function returnTranslations(intent: Intent, family: Family): readonly ReturnTranslation[] {
  const ip = family === 4 ? "ip" : "ip6";
  const found = new Map<string, ReturnTranslation>();
  for (const flow of intent.flows) {
    const [vip] = flow.vips;
    const table = flow.table === undefined ? undefined : intent.tables.get(flow.table);
    if (flow.family !== family || table === undefined || vip === undefined) continue;
    for (const id of table.legs) {
      const leg = intent.legs.get(id);
      const address = leg?.addresses[family];
      if (leg === undefined || address === undefined) continue;
      for (const protocol of flow.protocols) {
        const name = protocolName(protocol);
        const port = portOf(flow);
        const translated = leg.port !== undefined && port !== undefined && port !== leg.port;
        for (const { key, range } of keysOf(flow, leg)) {
          const statements = [...(translated ? [`${name} sport set ${port}`] : []), `${ip} saddr set ${vip}`];
          const element = `${address} . ${protocolNumber(protocol)} . ${key}`;
          found.set(element, { key: element, range, statements });
        }
      }
    }
  }
  return [...found.values()];
}

/** What a packet to a leg must be rewritten to in NAT mode; empty in DSR mode. */
export function forwardTranslation(intent: Intent, leg: Leg, family: Family): readonly string[] {
  if (intent.mode === "DSR") return [];
  const address = family === 4 ? `ip daddr set ${leg.addresses[4]}` : `ip6 daddr set ${leg.addresses[6]}`;
  const protocol = /:(tcp|udp|sctp)\/[0-9]+$/.exec(leg.key)?.[1];
  return [...(leg.port === undefined || protocol === undefined ? [] : [`${protocol} dport set ${leg.port}`]), address];
}
