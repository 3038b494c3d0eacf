import type { DiscoveryGraph, GraphEndpoint } from "#shared/dds/graph.ts";
import { GraphNames, quotedName } from "#shared/dds/mismatch-text.ts";
import type { GraphOf } from "./run-graph.ts";

/**
 * What discovery processes know, in Graphviz's language: participants with their writers and readers, topics between them,
 * and a red edge for each pair that should match and does not.
 */
export function graphDot(graphs: readonly GraphOf[]): string {
  const lines = graphs.flatMap(({ instance, domains }) =>
    domains.flatMap((graph) => domainLines(`${instance} ${graph.discoveryDomain}`, graph)),
  );
  return ["digraph dds {", "  rankdir=LR;", "  node [shape=box];", ...lines, "}", ""].join("\n");
}

/** A string of DOT: only the quotation mark and what a backslash makes of the next character are special. */
const dotText = (text: string): string => `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;

function domainLines(scope: string, graph: DiscoveryGraph): string[] {
  const names = new GraphNames(graph);
  const node = (id: string): string => dotText(`${scope} ${id}`);
  const endpoints = new Map<string, GraphEndpoint & { readonly role: "writer" | "reader" }>();
  const edges = graph.topics.flatMap(({ domainId, domainTag, mismatches, name, readers, writers }) => {
    const topic = node(`topic ${JSON.stringify([domainId, domainTag, name])}`);
    for (const writer of writers) endpoints.set(writer.guid, { ...writer, role: "writer" });
    for (const reader of readers) endpoints.set(reader.guid, { ...reader, role: "reader" });
    return [
      `  ${topic} [shape=ellipse, label=${dotText(quotedName(name))}];`,
      ...writers.map(({ guid }) => `  ${node(guid)} -> ${topic};`),
      ...readers.map(({ guid }) => `  ${topic} -> ${node(guid)};`),
      ...mismatches.map(({ reader, reasons, writer }) => {
        const label = dotText(reasons.map(({ policy }) => policy).join(", "));
        return `  ${node(writer)} -> ${node(reader)} [color=red, style=dashed, label=${label}];`;
      }),
    ];
  });
  const clusters = graph.participants.flatMap(({ prefix, vendor }) => [
    `  subgraph ${dotText(`cluster ${scope} ${prefix}`)} {`,
    `    label=${dotText(`${names.participant(prefix)} ${vendor}`)};`,
    ...[...endpoints.values()]
      .filter(({ participant }) => participant === prefix)
      .map(({ guid, name, role, type }) => {
        const title = name === undefined ? (guid.split(":")[1] ?? "") : quotedName(name);
        return `    ${node(guid)} [label=${dotText(`${role} ${title} ${quotedName(type)}`)}];`;
      }),
    "  }",
  ]);
  return [...clusters, ...edges];
}
