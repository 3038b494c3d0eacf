/*
 * Loads every process's code once, so that Node's compile cache (NODE_COMPILE_CACHE) holds it: processes that find
 * their code there start faster and need some 25 MB less, because TypeScript's stripper stays unloaded.
 */
import { flushCompileCache } from "node:module";

await Promise.all([
  import("../controller/main.ts"),
  import("../proxy/main.ts"),
  import("../frontend/main.ts"),
  import("../node/main.ts"),
  import("../node/cri/container-runtime.ts"),
  import("../node/cri/runtime-namespaces.ts"),
  import("../discovery/main.ts"),
  import("../topics/main.ts"),
  import("../lab/echo/main.ts"),
  import("../lab/cli.ts"),
  import("../packages/gobgp-client/src/dialect-3.ts"),
  import("../packages/gobgp-client/src/dialect-4.ts"),
  import("#shared/bfd/bfd-worker.ts"),
  import("#shared/store/directory-store.ts"),
  import("#shared/store/kubernetes/in-cluster.ts"),
  import("#shared/store/kubernetes/kubernetes-store.ts"),
  import("#shared/store/kubernetes/kubeconfig.ts"),
  import("../proxy/health/health-worker.ts"),
]);
flushCompileCache();
