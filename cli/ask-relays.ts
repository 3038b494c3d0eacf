import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { z } from "zod";
import { labFolder } from "../lab/lab-folder.ts";
import { UnixHttpError, unixRequest } from "../lab/unix-http.ts";

export interface RelayChoice {
  readonly lab: string;
  /** Run folders of the processes to be asked; those of the lab when absent. */
  readonly runDir?: readonly string[];
}

/** What one discovery process answers. */
export type AnswerOf<T> = T & { readonly instance: string };

const TIMEOUT_MS = 5_000;

/**
 * Asks discovery processes; those that do not answer are left out.
 * @param path of the question.
 * @returns the answers, or why there is none.
 */
export async function askRelays<T extends object>(
  { lab, runDir }: RelayChoice,
  path: string,
  schema: z.ZodType<T>,
): Promise<readonly AnswerOf<T>[] | { readonly failure: string }> {
  const folders = runDir ?? labFolders(lab);
  const asked = await Promise.all(folders.map((folder) => ask(folder, path, schema)));
  const answers = asked.flatMap((one) => ("answer" in one ? [one.answer] : []));
  if (answers.length > 0) return answers;
  const tried = asked.flatMap((one) => ("failure" in one ? [one.failure] : []));
  return { failure: tried.length > 0 ? tried.join("; ") : `no discovery process runs in the lab ${lab}` };
}

/** In a lab each node has a run folder of its own. */
function labFolders(lab: string): readonly string[] {
  const { runs } = labFolder(lab);
  if (!existsSync(runs)) return [];
  return readdirSync(runs)
    .map((node) => join(runs, node))
    .filter((folder) => existsSync(join(folder, "discovery.sock")));
}

async function ask<T extends object>(
  folder: string,
  path: string,
  schema: z.ZodType<T>,
): Promise<{ readonly answer: AnswerOf<T> } | { readonly failure: string }> {
  try {
    const { status, body } = await unixRequest(join(folder, "discovery.sock"), "GET", path, TIMEOUT_MS);
    if (status !== 200) return { failure: `${folder} answers ${status}: ${body.trim()}` };
    return { answer: { instance: basename(folder), ...schema.parse(JSON.parse(body)) } };
  } catch (error) {
    if (error instanceof UnixHttpError) return { failure: error.message };
    if (error instanceof z.ZodError || error instanceof SyntaxError) {
      return { failure: `${folder} answers what this version does not understand; use the version that runs there` };
    }
    throw error;
  }
}
