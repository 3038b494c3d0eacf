import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { certificateAuthority } from "../api-double/certificate.ts";

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** kube-apiserver and etcd from a folder, as envtest starts them. Its tokens stand in a file that is read at start. */
export class RealApi {
  readonly #assets: string;
  readonly #host: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "cw-api-"));
  readonly #children: ChildProcess[] = [];
  readonly ca: string;
  url = "";

  constructor(assets: string, host: string) {
    this.#assets = assets;
    this.#host = host;
    const authority = certificateAuthority("real-api");
    this.ca = authority.cert;
    const { cert, key } = authority.issue({ commonName: "kube-apiserver" }, [
      ...new Set(["127.0.0.1", "localhost", host]),
    ]);
    const account = authority.issue({ commonName: "service-accounts" }, []);
    for (const [name, text] of Object.entries({ cert, key, account: account.key, accountCert: account.cert })) {
      writeFileSync(this.#file(name), text);
    }
    const tokens = ["admin", "controller", "frontend", "proxy", "node", "reader"];
    writeFileSync(
      this.#file("tokens"),
      tokens.map((name) => `${name}-token,${name},${name},"system:masters"\n`).join(""),
    );
  }

  async start(): Promise<void> {
    const [port, etcdPort, peerPort] = [await freePort(), await freePort(), await freePort()];
    const etcd = `http://127.0.0.1:${etcdPort}`;
    this.#spawn("etcd", [
      `--data-dir=${this.#file("etcd")}`,
      `--listen-client-urls=${etcd}`,
      `--advertise-client-urls=${etcd}`,
      `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
      "--unsafe-no-fsync",
    ]);
    this.#spawn("kube-apiserver", [
      `--etcd-servers=${etcd}`,
      `--secure-port=${port}`,
      `--bind-address=${this.#host}`,
      `--tls-cert-file=${this.#file("cert")}`,
      `--tls-private-key-file=${this.#file("key")}`,
      `--token-auth-file=${this.#file("tokens")}`,
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-key-file=${this.#file("accountCert")}`,
      `--service-account-signing-key-file=${this.#file("account")}`,
      "--authorization-mode=RBAC",
      "--service-cluster-ip-range=10.0.0.0/24",
      "--disable-admission-plugins=ServiceAccount",
    ]);
    this.url = `https://${this.#host}:${port}`;
    await this.#ready();
  }

  /** Its tokens are fixed: those of the file that it was started with. */
  allow(token: string, user: string): void {
    if (!readFileSync(this.#file("tokens"), "utf8").includes(`${token},${user},`)) {
      throw new TypeError(`the real API server knows no ${token}`);
    }
  }

  async stop(): Promise<void> {
    for (const child of this.#children.splice(0).reverse()) {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #file(name: string): string {
    return join(this.#folder, name);
  }

  #spawn(program: string, args: readonly string[]): void {
    this.#children.push(spawn(join(this.#assets, program), args, { stdio: ["ignore", "ignore", "ignore"] }));
  }

  async #ready(): Promise<void> {
    const { connect } = await import("node:http2");
    const deadline = Date.now() + 60_000;
    for (;;) {
      const status = await new Promise<number>((resolve) => {
        const session = connect(this.url, { ca: this.ca });
        session.on("error", () => resolve(0));
        const stream = session.request({ ":path": "/readyz", authorization: "Bearer admin-token" });
        stream.on("response", (headers) => resolve(headers[":status"] ?? 0));
        stream.on("error", () => resolve(0));
        stream.on("close", () => session.close());
        stream.resume();
      });
      if (status === 200) return;
      if (Date.now() > deadline) throw new Error(`${this.url} is not ready after a minute`);
      await delay(200);
    }
  }
}
