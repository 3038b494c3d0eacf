import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { z } from "zod";
import { type GraphAnswer, graphAnswerSchema } from "#shared/dds/graph.ts";
import { labFolder } from "../lab/lab-folder.ts";
import { UnixHttpError, unixRequest } from "../lab/unix-http.ts";
import { graphDot } from "./graph-dot.ts";
import { graphText } from "./graph-text.ts";

export interface GraphOptions {
  readonly lab: string;
  /** Run folders of the processes to be asked; those of the lab when absent. */
  readonly runDir?: readonly string[];
  readonly json?: boolean;
  readonly dot?: boolean;
}

/** What one discovery process knows. */
export type GraphOf = GraphAnswer & { readonly instance: string };

const TIMEOUT_MS = 5_000;

/** @returns the exit status. */
export async function runGraph(options: GraphOptions, print: (text: string) => void): Promise<number> {
  const { dot = false, json = false, lab, runDir } = options;
  const folders = runDir ?? labFolders(lab);
  const asked = await Promise.all(folders.map(ask));
  const graphs = asked.flatMap((answer) => ("domains" in answer ? answer : []));
  if (graphs.length === 0) {
    const tried = asked.flatMap((answer) => ("failure" in answer ? [answer.failure] : []));
    const what = tried.length > 0 ? tried.join("; ") : `no discovery process runs in the lab ${lab}`;
    process.stderr.write(`causeway discovery graph: ${what}\n`);
    return 2;
  }
  print(json ? `${JSON.stringify({ instances: graphs }, null, 2)}\n` : dot ? graphDot(graphs) : graphText(graphs));
  const mismatches = graphs.flatMap(({ domains }) => domains.flatMap(({ topics }) => topics));
  return mismatches.some(({ mismatchCount }) => mismatchCount > 0) ? 1 : 0;
}

/** In a lab each node has a run folder of its own. */
function labFolders(lab: string): readonly string[] {
  const { runs } = labFolder(lab);
  if (!existsSync(runs)) return [];
  return readdirSync(runs)
    .map((node) => join(runs, node))
    .filter((folder) => existsSync(join(folder, "discovery.sock")));
}

async function ask(folder: string): Promise<GraphOf | { readonly failure: string }> {
  try {
    const { status, body } = await unixRequest(join(folder, "discovery.sock"), "GET", "/graph", TIMEOUT_MS);
    if (status !== 200) return { failure: `${folder} answers ${status}: ${body.trim()}` };
    return { instance: basename(folder), ...graphAnswerSchema.parse(JSON.parse(body)) };
  } catch (error) {
    if (error instanceof UnixHttpError) return { failure: error.message };
    if (error instanceof z.ZodError || error instanceof SyntaxError) {
      return { failure: `${folder} answers what this version does not understand; use the version that runs there` };
    }
    throw error;
  }
}
