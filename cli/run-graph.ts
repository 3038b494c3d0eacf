import { type GraphAnswer, graphAnswerSchema } from "#shared/dds/graph.ts";
import { type AnswerOf, askRelays, type RelayChoice } from "./ask-relays.ts";
import { graphDot } from "./graph-dot.ts";
import { graphText } from "./graph-text.ts";

export interface GraphOptions extends RelayChoice {
  readonly json?: boolean;
  readonly dot?: boolean;
}

/** What one discovery process knows. */
export type GraphOf = AnswerOf<GraphAnswer>;

/** @returns the exit status. */
export async function runGraph(options: GraphOptions, print: (text: string) => void): Promise<number> {
  const { dot = false, json = false } = options;
  const graphs = await askRelays(options, "/graph", graphAnswerSchema);
  if ("failure" in graphs) {
    process.stderr.write(`causeway discovery graph: ${graphs.failure}\n`);
    return 2;
  }
  print(json ? `${JSON.stringify({ instances: graphs }, null, 2)}\n` : dot ? graphDot(graphs) : graphText(graphs));
  const mismatches = graphs.flatMap(({ domains }) => domains.flatMap(({ topics }) => topics));
  return mismatches.some(({ mismatchCount }) => mismatchCount > 0) ? 1 : 0;
}
