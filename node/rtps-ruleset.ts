import { FAMILIES, type Family, familyOf, type Ip } from "#shared/net/ip.ts";
import { TableBuilder } from "#shared/nft/table-builder.ts";
import type { TableState } from "#shared/nft/table-state.ts";
import type { RtpsFilterRules, RtpsSender } from "./rtps-filter.ts";

/** In the network namespace of a pod that is a member of a service group. */
export const TABLE = "causeway-groups";
export const COUNTER = "kept-out";

/** RTPS 8.3.3 and 9.4.4: a UDP payload begins with "RTPS", and has the GUID prefix of who speaks at octet 8. */
const IS_RTPS = "meta l4proto udp @th,64,32 0x52545053";
/** In parts of 32 bits: nft lists a number of 96 bits so that JSON cannot hold it. */
const GUID_PREFIX = "@th,128,32 . @th,160,32 . @th,192,32";
/** Before what others filter. */
const PLACE = "-10";

const SOURCE = { 4: "ip saddr", 6: "ip6 saddr" } as const;
const TYPE = { 4: "ipv4_addr", 6: "ipv6_addr" } as const;

function senderKey({ address, guidPrefix }: RtpsSender): string {
  const parts = [0, 8, 16].map((at) => Number.parseInt(guidPrefix.slice(at, at + 8), 16));
  return [address, ...parts].join(" . ");
}

const isOf =
  (family: Family) =>
  (address: Ip): boolean =>
    familyOf(address) === family;

/** The nftables table of a pod. The same rules give the same table. */
export function rtpsRuleset(rules: RtpsFilterRules): TableState {
  const table = new TableBuilder("inet", TABLE);
  const drop = `${table.count(COUNTER)} drop`;
  const isSender = FAMILIES.map((family) => {
    const name = `senders${family}`;
    const senders = rules.senders.filter(({ address }) => isOf(family)(address));
    table.set(name, `typeof ${SOURCE[family]} . ${GUID_PREFIX};`, senders.map(senderKey));
    return `${SOURCE[family]} . ${GUID_PREFIX} @${name}`;
  });
  const lines =
    rules.kind === "block"
      ? isSender.map((match) => `${match} ${drop}`)
      : [
          'iifname "lo" accept',
          ...FAMILIES.map((family) => {
            table.set(`hosts${family}`, `type ${TYPE[family]};`, rules.hosts.filter(isOf(family)));
            return `${SOURCE[family]} @hosts${family} accept`;
          }),
          ...isSender.map((match) => `${match} accept`),
          drop,
        ];
  const chain = table.chain(rules.kind, lines);
  table.base("input", {
    hook: `type filter hook input priority ${PLACE}; policy accept;`,
    place: `input ${PLACE}`,
    rules: [{ match: IS_RTPS, chain }],
  });
  return table.finish();
}
