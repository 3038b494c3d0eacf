import type { DiscoveryGraph, GraphTopic } from "./graph.ts";

const MOST_CHARACTERS = 80;

/** A name that came from the network: quoted, cut, without control characters. */
export function quotedName(text: string): string {
  return JSON.stringify(text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text).replaceAll(
    /[\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g,
    "?",
  );
}

/** Names participants and endpoints of a graph for people. */
export class GraphNames {
  readonly #participants: ReadonlyMap<string, DiscoveryGraph["participants"][number]>;

  constructor({ participants }: Pick<DiscoveryGraph, "participants">) {
    this.#participants = new Map(participants.map((each) => [each.prefix, each]));
  }

  /** Such as `"robot-1" (10.71.0.2)`. */
  participant(prefix: string): string {
    const found = this.#participants.get(prefix);
    if (found === undefined) return prefix;
    const { address, name, pod } = found;
    return `${name === undefined ? prefix : quotedName(name)} (${pod === undefined ? address : `${pod}, ${address}`})`;
  }

  /** Such as `"camera" 0110…:00000102 of "robot-1" (10.71.0.2)`. */
  endpoint(topic: GraphTopic, guid: string): string {
    const { name } = [...topic.writers, ...topic.readers].find((each) => each.guid === guid) ?? {};
    const [prefix = ""] = guid.split(":");
    return `${name === undefined ? "" : `${quotedName(name)} `}${guid} of ${this.participant(prefix)}`;
  }
}

/** A pair that does not match, in sentences: who, why, and what would be right. */
export function mismatchText(
  names: GraphNames,
  topic: GraphTopic,
  { writer, reader, reasons }: GraphTopic["mismatches"][number],
): string {
  const why = reasons.map(({ problem, fix }) => `${problem} (${fix})`).join("; and ");
  const [written, read] = [names.endpoint(topic, writer), names.endpoint(topic, reader)];
  return `topic ${quotedName(topic.name)}: reader ${read} gets nothing from writer ${written}: ${why}`;
}
