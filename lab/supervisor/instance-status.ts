import { join } from "node:path";
import { z } from "zod";
import type { LabFolder } from "../lab-folder.ts";
import { unixRequest } from "../unix-http.ts";

const counts = { packets: z.number(), bytes: z.number() };

/** The part of a proxy's GET /status that the lab shows. */
const proxyStatusSchema = z.looseObject({
  vips: z.array(z.looseObject({ address: z.string(), ready: z.boolean() })),
  services: z.array(
    z.looseObject({
      name: z.string(),
      vips: z.array(z.string()),
      ports: z.array(z.string()),
      protocols: z.array(z.string()),
      readyTargets: z.int(),
      ...counts,
    }),
  ),
  targets: z.array(z.looseObject({ name: z.string(), state: z.string(), ...counts })),
});
type ProxyStatus = z.infer<typeof proxyStatusSchema>;

/** The part of a frontend's GET /status that the lab shows. */
const frontendStatusSchema = z.looseObject({
  peers: z.array(
    z.looseObject({
      name: z.string(),
      address: z.string(),
      family: z.enum(["IPv4", "IPv6"]),
      state: z.string(),
    }),
  ),
  advertised: z.array(z.string()),
});
type FrontendStatus = z.infer<typeof frontendStatusSchema>;

/** One gateway instance as its processes describe it; a part is missing while its process does not answer. */
export interface InstanceStatus {
  readonly node: string;
  readonly gateway: string;
  readonly proxy?: ProxyStatus;
  readonly frontend?: FrontendStatus;
  /** Why a part is missing. */
  readonly faults: readonly string[];
}

export async function instanceStatus(
  folder: LabFolder,
  node: string,
  gateway: string,
  run: readonly string[],
): Promise<InstanceStatus> {
  const faults: string[] = [];
  const ask = async <T>(name: string, schema: z.ZodType<T>): Promise<T | undefined> => {
    if (!run.includes(name)) return undefined;
    try {
      const { status, body } = await unixRequest(join(folder.run(node), `${name}.sock`), "GET", "/status", 1000);
      if (status === 200) return schema.parse(JSON.parse(body));
      faults.push(`${node} ${name} answers ${status}`);
    } catch (error) {
      faults.push(
        error instanceof z.ZodError
          ? `${node} ${name} has an unexpected status: ${z.prettifyError(error)}`
          : `${node} ${name} does not answer`,
      );
    }
    return undefined;
  };
  const [proxy, frontend] = await Promise.all([ask("proxy", proxyStatusSchema), ask("frontend", frontendStatusSchema)]);
  return {
    node,
    gateway,
    ...(proxy === undefined ? {} : { proxy }),
    ...(frontend === undefined ? {} : { frontend }),
    faults,
  };
}
