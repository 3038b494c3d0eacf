import { execFileSync } from "node:child_process";
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";

/*
 * A root file system as deploy/Containerfile makes it, as far as that can be had without a container builder: our files
 * are those that it copies and no others; what it installs from Debian is this machine's own, which has the same packages.
 */

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const HOME = "/opt/causeway";
/** A container has its own of these. */
const WRITABLE = ["/dev", "/proc"];
const SYSTEM = ["usr", "bin", "sbin", "lib", "lib64", "etc", "dev", "proc"];

const lockSchema = z.looseObject({
  packages: z.record(z.string(), z.looseObject({ dev: z.boolean().optional(), link: z.boolean().optional() })),
});

interface Containerfile {
  /** Files and folders of this project, as they lie here. */
  readonly copies: readonly { readonly from: string; readonly to: string }[];
  /** Debian packages of the image itself. */
  readonly packages: readonly string[];
  readonly text: string;
}

export function readContainerfile(): Containerfile {
  const text = readFileSync(join(ROOT, "deploy/Containerfile"), "utf8").replaceAll("\\\n", " ");
  const copies = [...text.matchAll(/^COPY (?!--from)(.+) (\S+)$/gm)].flatMap(([, sources = "", to = ""]) =>
    sources.split(" ").map((from) => ({ from, to: to.endsWith("/") ? join(to, from.split("/").at(-1) ?? "") : to })),
  );
  const last = text.slice(text.lastIndexOf("FROM "));
  const packages = /apt-get install -y --no-install-recommends ([^&]+)/.exec(last)?.[1]?.trim().split(/\s+/) ?? [];
  return { copies, packages, text };
}

/** Packages that run, by package-lock.json: what `npm ci --omit=dev` leaves here. */
function productionPackages(): readonly string[] {
  const { packages } = lockSchema.parse(JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")));
  return Object.entries(packages).flatMap(([path, { dev = false }]) =>
    path.startsWith("node_modules/") && !dev && existsSync(join(ROOT, path)) ? [path] : [],
  );
}

export interface Container {
  readonly process: string;
  readonly args: readonly string[];
  /** Capabilities as Kubernetes names them. */
  readonly capabilities: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Folders of the host, by where they are in the container. */
  readonly mounts?: Readonly<Record<string, string>>;
}

/** Needs to be root of its mount namespace. */
export class ImageRoot {
  readonly #work = mkdtempSync(join(tmpdir(), "cw-image-"));

  constructor() {
    // Everything lies in one mount, which takes the others along when it goes: nothing of the host is ever removed.
    execFileSync("mount", ["-t", "tmpfs", "-o", "mode=0755", "image", this.#work]);
    for (const folder of SYSTEM) this.#bind(`/${folder}`, `/${folder}`);
    for (const { from, to } of readContainerfile().copies) this.#bind(join(ROOT, from), join(HOME, to));
    for (const path of productionPackages()) {
      // Workspaces are links, as npm makes them.
      const name = path.slice("node_modules/".length);
      if (existsSync(join(ROOT, "packages", name))) this.#link(`../packages/${name}`, join(HOME, path));
      else this.#bind(join(ROOT, path), join(HOME, path));
    }
    this.#link(`${HOME}/bin/causeway`, "/usr-local-causeway");
    const warm = /NODE_COMPILE_CACHE=(\S+)\s+(node_modules\S+) (\S+) (scripts\/\S+)/.exec(readContainerfile().text);
    const [, cache = "", , option = "", script = ""] = warm ?? [];
    const [node = ""] = globSync("node_modules/node-linux-*/bin/node", { cwd: ROOT });
    const also = /&& (bin\/causeway --help)/.exec(readContainerfile().text)?.[1] ?? "false";
    const command = `cd ${HOME} && NODE_COMPILE_CACHE=${cache} ${node} ${option} ${script} && ${also}`;
    execFileSync("chroot", [this.#work, "sh", "-ec", command], { stdio: ["ignore", "ignore", "inherit"] });
  }

  /** Where a path of the container is here. */
  path(inside: string): string {
    return join(this.#work, inside);
  }

  /**
   * A command that runs one process as a container of this image: its root and /proc/sys read-only, with these capabilities
   * and no others. Its run folder is `runDir` here.
   */
  command(container: Container, runDir: string): readonly string[] {
    const { process, args, capabilities, env = {}, mounts = {} } = container;
    const kept = capabilities.map((name) => `+${name.toLowerCase()}`);
    const set = ["-all", ...kept].join(",");
    const target = (inside: string): string => this.#target(inside, true);
    const lines = [
      `mount --rbind ${this.#work} ${this.#work}`,
      ...Object.entries({ ...mounts, "/run/causeway": runDir }).map(
        ([to, from]) => `mount --rbind ${from} ${target(to)}`,
      ),
      `mount --bind /proc/sys ${this.#work}/proc/sys`,
      `mount -o remount,ro,bind ${this.#work}/proc/sys`,
      `mount -o remount,ro,bind ${this.#work}`,
      `exec chroot ${this.#work} setpriv --no-new-privs --bounding-set=${set} --inh-caps=${set} --ambient-caps=${set} \\
         env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin ${Object.entries(env)
           .map(([name, value]) => `${name}=${value}`)
           .join(" ")} ${HOME}/bin/causeway ${process} --run-dir /run/causeway ${args.join(" ")}`,
    ];
    const script = join(dirname(runDir), `${process}.sh`);
    writeFileSync(script, lines.join("\n"));
    return ["unshare", "--mount", "--propagation", "private", "sh", "-e", script];
  }

  close(): void {
    execFileSync("umount", ["--lazy", this.#work]);
    rmdirSync(this.#work);
  }

  #target(inside: string, isFolder: boolean): string {
    const path = this.path(inside);
    mkdirSync(isFolder ? path : dirname(path), { recursive: true });
    if (!isFolder && !existsSync(path)) writeFileSync(path, "");
    return path;
  }

  #bind(from: string, inside: string): void {
    const target = this.#target(inside, statSync(from).isDirectory());
    execFileSync("mount", ["--rbind", from, target]);
    if (!WRITABLE.includes(inside)) execFileSync("mount", ["-o", "remount,ro,bind", target]);
  }

  #link(to: string, inside: string): void {
    const path = this.path(inside);
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(to, path);
  }
}
