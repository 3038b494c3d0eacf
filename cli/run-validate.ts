import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "#shared/store/atomic-file.ts";
import { MAX_MANIFEST_BYTES, type ManifestFile, tooLarge } from "#shared/store/manifest-file.ts";
import { isManifestName, parseManifestBytes } from "#shared/store/manifest-folder.ts";
import { problemText } from "#shared/store/problem.ts";
import { type Validation, validateManifests } from "#shared/store/validate-manifests.ts";

const STDIN_NAME = "<stdin>";

/** A path that was asked for cannot be read: the caller's mistake, not a manifest's. */
class PathError extends Error {
  override readonly name = "PathError";
}

async function readInput(input: AsyncIterable<Uint8Array>): Promise<ManifestFile> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of input) {
    size += chunk.length;
    if (size > MAX_MANIFEST_BYTES) return tooLarge(STDIN_NAME, size);
    chunks.push(chunk);
  }
  return parseManifestBytes(STDIN_NAME, Buffer.concat(chunks), { locates: true });
}

/** The files that a path stands for: itself, or a folder's manifests as the store would find them. */
async function filesOf(path: string): Promise<readonly string[]> {
  try {
    const stats = await stat(path);
    if (!stats.isDirectory()) return [path];
    const entries = (await readdir(path, { recursive: true })).sort();
    const names = entries.filter(
      (entry) => isManifestName(entry) && !entry.split("/").some((part) => part.startsWith(".")),
    );
    const found = await Promise.all(
      names.map(async (name) => ((await stat(join(path, name))).isFile() ? [join(path, name)] : [])),
    );
    return found.flat();
  } catch (error) {
    throw new PathError(`cannot read ${path}: ${codeOf(error) || String(error)}`, { cause: error });
  }
}

async function readOne(path: string): Promise<ManifestFile> {
  try {
    const { size } = await stat(path);
    if (size > MAX_MANIFEST_BYTES) return tooLarge(path, size);
    return parseManifestBytes(path, await readFile(path), { locates: true });
  } catch (error) {
    throw new PathError(`cannot read ${path}: ${codeOf(error) || String(error)}`, { cause: error });
  }
}

async function readAll(paths: readonly string[], input: AsyncIterable<Uint8Array>): Promise<readonly ManifestFile[]> {
  const files: ManifestFile[] = [];
  const seen = new Set<string>();
  for (const path of paths) {
    const names = path === "-" ? [path] : await filesOf(path);
    for (const name of names) {
      const identity = name === "-" ? name : await realpath(name);
      if (seen.has(identity)) continue;
      seen.add(identity);
      files.push(name === "-" ? await readInput(input) : await readOne(name));
    }
  }
  return files;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function report({ files, objects, findings }: Validation): string {
  const lines = findings.map((finding) => `${finding.severity}: ${problemText(finding)}`);
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const warnings = findings.length - errors;
  const summary = `${counted(files, "file")}, ${counted(objects, "valid object")}, ${counted(errors, "error")}, ${counted(warnings, "warning")}`;
  return `${[...lines, summary].join("\n")}\n`;
}

/**
 * Checks the manifests at `paths` and prints what was found.
 * @returns The exit status: 0 right, 1 an error in a manifest, 2 a path cannot be read or holds no manifest.
 */
export async function runValidate(
  paths: readonly string[],
  json: boolean,
  input: AsyncIterable<Uint8Array>,
  print: (text: string) => void,
): Promise<0 | 1 | 2> {
  let files: readonly ManifestFile[];
  try {
    files = await readAll(paths, input);
    if (files.length === 0) throw new PathError(`no .yaml, .yml or .json file in ${paths.join(", ")}`);
  } catch (error) {
    if (!(error instanceof PathError)) throw error;
    print(json ? `${JSON.stringify({ error: error.message })}\n` : `error: ${error.message}\n`);
    return 2;
  }
  const validation = validateManifests(files);
  print(json ? `${JSON.stringify(validation, undefined, 2)}\n` : report(validation));
  return validation.findings.some(({ severity }) => severity === "error") ? 1 : 0;
}
