import { z } from "zod";

/*
 * What containerd and CRI-O say of a sandbox or container besides what the interface asks for: JSON of their own, with the
 * OCI runtime specification in `runtimeSpec`. containerd (internal/cri/types, SandboxInfo) always gives a sandbox's; CRI-O
 * (server/sandbox_status.go) gives `{}` in older versions when the sandbox has no process of its own.
 */
const infoSchema = z.object({
  runtimeSpec: z
    .object({
      linux: z
        .object({ namespaces: z.array(z.object({ type: z.string(), path: z.string().optional() })).nullish() })
        .nullish(),
    })
    .nullish(),
});

/**
 * The path of the network namespace that a runtime's info names; undefined when it names none.
 * @throws RangeError when it is not what these runtimes write.
 */
export function namespaceOfInfo(info: string): string | undefined {
  let json: unknown;
  try {
    json = JSON.parse(info);
  } catch (error) {
    throw new RangeError("the runtime's info is not JSON", { cause: error });
  }
  const parsed = infoSchema.safeParse(json);
  if (!parsed.success)
    throw new RangeError("the runtime's info has a runtimeSpec that is none", { cause: parsed.error });
  const namespaces = parsed.data.runtimeSpec?.linux?.namespaces ?? [];
  const path = namespaces.find(({ type }) => type === "network")?.path;
  if (path === undefined || path === "") return undefined;
  if (!/^\/[^\0\n]{1,4095}$/.test(path)) throw new RangeError("the runtime's path of a network namespace is none");
  // A number of the host's processes, of which others are here.
  if (path.startsWith("/proc/")) throw new RangeError(`the runtime names the network namespace by a process, ${path}`);
  return path;
}
