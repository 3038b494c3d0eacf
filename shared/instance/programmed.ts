import { type FSWatcher, watch } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { ipField, portField } from "../api/fields.ts";
import { protocolField } from "../api/routes.ts";

/**
 * What the proxy of a gateway instance has put into the kernel, for the frontend beside it: a VIP is attracted only
 * while its `ready` is true. The one contract between the two processes: a file in their shared run directory,
 * replaced atomically.
 */
export const programmedSchema = z.strictObject({
  /** Counts the proxy's writes since it started. */
  generation: z.int().min(0),
  /** draining: the instance is being stopped, and packets for its VIPs may still come. drained: they do not any more. */
  state: z.enum(["serving", "draining", "drained"]).default("serving"),
  vips: z
    .array(
      z.strictObject({
        address: ipField,
        /** At least one service of this VIP has a programmed, ready target on this instance. */
        ready: z.boolean(),
        services: z.array(
          z.strictObject({
            /** `namespace/name` */
            name: z.string(),
            /** Of the listener; absent for a FlowRoute, which matches more than one port. */
            port: portField.optional(),
            protocol: protocolField.optional(),
            readyTargets: z.int().min(0),
          }),
        ),
      }),
    )
    .superRefine((vips, context) => {
      const seen = new Set<string>();
      vips.forEach((vip, index) => {
        if (seen.has(vip.address)) {
          context.addIssue({ code: "custom", path: [index, "address"], message: `${vip.address} is listed twice` });
        }
        seen.add(vip.address);
      });
    }),
});
export type Programmed = z.infer<typeof programmedSchema>;

/** programmed.json is there but says nothing that can be relied on; the last good content stays in force. */
export class ProgrammedUnreadableError extends Error {
  override readonly name = "ProgrammedUnreadableError";
}

const FILE = "programmed.json";

/**
 * The content of `<runDir>/programmed.json`; undefined when there is no such file.
 * @throws ProgrammedUnreadableError when it cannot be read or does not meet the schema.
 */
export async function readProgrammed(runDir: string): Promise<Programmed | undefined> {
  const file = join(runDir, FILE);
  let content: unknown;
  try {
    content = JSON.parse(await readFile(file, "utf8"));
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw new ProgrammedUnreadableError(`${file}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
  const parsed = programmedSchema.safeParse(content);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join(".") || "(root)"}: ${issue.message}`);
  throw new ProgrammedUnreadableError(`${file}: ${problems.join("; ")}`, { cause: parsed.error });
}

/**
 * Replaces `<runDir>/programmed.json` in one step: a reader sees the old or the new content. Not synced to disk: like
 * the kernel state it describes, it must not outlive a reboot, so `runDir` belongs on a tmpfs.
 */
export async function writeProgrammed(runDir: string, value: z.input<typeof programmedSchema>): Promise<void> {
  await mkdir(runDir, { recursive: true });
  const temporary = join(runDir, `.${FILE}.${process.pid}`);
  await writeFile(temporary, `${JSON.stringify(value)}\n`);
  await rename(temporary, join(runDir, FILE));
}

/**
 * Calls `onChange` whenever `<runDir>/programmed.json` may have changed, until `signal` aborts. Watches the directory,
 * because the file is replaced, not written. `onError` is called once if the kernel takes the watch away.
 */
export function watchProgrammed(
  runDir: string,
  onChange: () => void,
  onError: (error: Error) => void,
  signal: AbortSignal,
): void {
  const watcher: FSWatcher = watch(runDir, { signal, persistent: false }, (_event, name) => {
    if (name === FILE || name === null) onChange();
  });
  watcher.on("error", onError);
}
