import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import type { Clock } from "../../process/clock.ts";
import { type ApiConfig, ApiConfigError } from "./api-config.ts";
import { fileSecret } from "./file-secret.ts";

const text = z.string().min(1).optional();

const clusterSchema = z.looseObject({
  server: z.url({ protocol: /^https$/, error: "must be an https:// URL: plain HTTP is not spoken" }),
  "certificate-authority": text,
  "certificate-authority-data": z.base64().optional(),
  "insecure-skip-tls-verify": z.boolean().default(false),
  "tls-server-name": text,
  "proxy-url": z.undefined("proxies are not supported").optional(),
});
const userSchema = z.looseObject({
  token: text,
  tokenFile: text,
  "client-certificate": text,
  "client-certificate-data": z.base64().optional(),
  "client-key": text,
  "client-key-data": z.base64().optional(),
  exec: z.undefined("credential plugins (exec) are not supported: use a token or a client certificate").optional(),
  "auth-provider": z.undefined("auth providers are not supported").optional(),
  username: z.undefined("basic authentication is not supported").optional(),
});
const kubeconfigSchema = z.looseObject({
  "current-context": text,
  contexts: z
    .array(
      z.looseObject({
        name: z.string(),
        context: z.looseObject({
          cluster: z.string(),
          user: z.string().default(""),
          namespace: z.string().min(1).default("default"),
        }),
      }),
    )
    .default([]),
  clusters: z.array(z.looseObject({ name: z.string(), cluster: z.unknown() })).default([]),
  users: z.array(z.looseObject({ name: z.string(), user: z.unknown() })).default([]),
});

function parsed<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new ApiConfigError(`${what}: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "cannot be read"}`);
}

/**
 * The API server of a kubeconfig's current context.
 * @throws ApiConfigError when the file cannot be read, or asks for what is not supported.
 */
export function kubeconfig(path: string, clock: Clock): ApiConfig {
  let value: unknown;
  try {
    value = parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new ApiConfigError(`cannot read kubeconfig ${path}`, { cause: error });
  }
  const config = parsed(kubeconfigSchema, value, path);
  const current = config["current-context"];
  if (current === undefined) throw new ApiConfigError(`${path} has no current-context`);
  const context = config.contexts.find(({ name }) => name === current)?.context;
  if (context === undefined) throw new ApiConfigError(`${path} has no context ${current}`);
  const named = config.clusters.find(({ name }) => name === context.cluster);
  if (named === undefined) throw new ApiConfigError(`${path} has no cluster ${context.cluster}`);
  const cluster = parsed(clusterSchema, named.cluster, `${path}: cluster ${context.cluster}`);
  const user = parsed(
    userSchema,
    config.users.find(({ name }) => name === context.user)?.user ?? {},
    `${path}: user ${context.user}`,
  );
  /** Data within the file comes before the file that is named beside it. */
  const either = (data: string | undefined, file: string | undefined): (() => string) | undefined => {
    if (data !== undefined) return () => Buffer.from(data, "base64").toString("utf8");
    return file === undefined ? undefined : fileSecret(resolve(dirname(path), file), clock);
  };
  const cert = either(user["client-certificate-data"], user["client-certificate"]);
  const key = either(user["client-key-data"], user["client-key"]);
  if ((cert === undefined) !== (key === undefined)) {
    throw new ApiConfigError(`${path}: user ${context.user}: a client certificate and its key go together`);
  }
  const { token, tokenFile } = user;
  return {
    server: new URL(cluster.server),
    namespace: context.namespace,
    ca: either(cluster["certificate-authority-data"], cluster["certificate-authority"]) ?? (() => undefined),
    tlsServerName: cluster["tls-server-name"],
    skipsVerify: cluster["insecure-skip-tls-verify"],
    token: tokenFile === undefined ? () => token : fileSecret(resolve(dirname(path), tokenFile), clock),
    certificate: () => (cert === undefined || key === undefined ? undefined : { cert: cert(), key: key() }),
  };
}
