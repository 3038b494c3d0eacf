import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../process/clock.ts";
import { type ApiConfig, ApiConfigError } from "./api-config.ts";
import { fileSecret } from "./file-secret.ts";

/** Where kubelet mounts a pod's service account. */
const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Whether this runs in a pod that has a service account. */
export function isInCluster(env: NodeJS.ProcessEnv, folder: string = SERVICE_ACCOUNT): boolean {
  return env.KUBERNETES_SERVICE_HOST !== undefined && existsSync(join(folder, "token"));
}

/**
 * The API server as a pod finds it: by environment, with the service account's token and authority.
 * @throws ApiConfigError outside of a pod.
 */
export function inClusterConfig(env: NodeJS.ProcessEnv, clock: Clock, folder: string = SERVICE_ACCOUNT): ApiConfig {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = "443" } = env;
  if (host === undefined) {
    throw new ApiConfigError(
      "this runs in no pod (KUBERNETES_SERVICE_HOST is not set): name a kubeconfig with --kubeconfig",
    );
  }
  const server = URL.parse(`https://${host.includes(":") ? `[${host}]` : host}:${port}`);
  if (server === null) throw new ApiConfigError(`KUBERNETES_SERVICE_HOST ${host} and port ${port} make no address`);
  const token = fileSecret(join(folder, "token"), clock);
  const ca = fileSecret(join(folder, "ca.crt"), clock);
  // A pod without a mounted service account is told so at once, not at its first request.
  token();
  ca();
  const namespace = fileSecret(join(folder, "namespace"), clock)();
  return { server, namespace, ca, tlsServerName: undefined, skipsVerify: false, token, certificate: () => undefined };
}
