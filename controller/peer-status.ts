import type { BgpPeer } from "#shared/api/bgp-peer.ts";
import type { Condition } from "#shared/api/meta.ts";
import { condition, joinMessages } from "#shared/resolve/conditions.ts";

/** States in which an instance uses the router. */
const UP: ReadonlySet<string> = new Set(["Established", "Static"]);

/** What the instances say of a router, in conditions. */
export function peerConditions({ metadata, status }: BgpPeer): readonly Condition[] {
  const { generation } = metadata;
  const instances = [...(status?.instances ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1));
  const refused = instances.filter(({ state }) => state === "Refused");
  const messages = (entries: typeof instances): string =>
    joinMessages(entries.map(({ name, state, message = "" }) => `${name}: ${message === "" ? state : message}`));
  const accepted =
    refused.length === 0
      ? condition("Accepted", "True", "Accepted", "No instance refuses it.", generation)
      : condition("Accepted", "False", "Refused", messages(refused), generation);
  const down = instances.filter(({ state }) => !UP.has(state));
  const count = `${instances.length - down.length} of ${instances.length}`;
  let established = condition("Established", "True", "Established", `${count} instances use it.`, generation);
  if (instances.length === 0) {
    established = condition("Established", "Unknown", "NoInstances", "No instance has said anything yet.", generation);
  } else if (down.length > 0) {
    // Without their messages, which change with every attempt.
    const names = joinMessages(down.map(({ name, state }) => `${name}: ${state}`));
    established = condition("Established", "False", "SessionsDown", `${count} instances use it; ${names}`, generation);
  }
  return [accepted, established];
}
