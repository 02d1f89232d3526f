import { type ClientHttp2Session, connect } from "node:http2";
import { createConnection } from "node:net";
import { decode, encode, type Message } from "./protobuf.ts";

/** The network of the host itself. */
const NODE = 2;

/**
 * What a kubelet asks of a container runtime, over its socket.
 * Source: https://github.com/kubernetes/cri-api/blob/v0.26.0/pkg/apis/runtime/v1/api.proto
 */
export class ContainerRuntime {
  readonly #session: ClientHttp2Session;

  constructor(socket: string) {
    this.#session = connect("http://localhost", { createConnection: () => createConnection(socket) });
    // Calls fail by themselves.
    this.#session.on("error", () => {});
  }

  /** Fails until there is an answer. */
  async version(): Promise<void> {
    await this.#call("RuntimeService/Version", {});
  }

  /** Its own name for the image. */
  async pullImage(reference: string): Promise<string> {
    return text((await this.#call("ImageService/PullImage", { 1: { 1: reference } })).get(1));
  }

  /** A pod of one container, on the host's network; `command` undefined: the image's own. */
  async runPod(name: string, image: string): Promise<Pod> {
    const config: Message = {
      1: { 1: name, 2: name, 3: "default" },
      8: { 2: { 1: { 1: NODE } } },
    };
    const pod = text((await this.#call("RuntimeService/RunPodSandbox", { 1: config })).get(1));
    const container = { 1: { 1: name }, 2: { 1: image } };
    const created = await this.#call("RuntimeService/CreateContainer", { 1: pod, 2: container, 3: config });
    const id = text(created.get(1));
    await this.#call("RuntimeService/StartContainer", { 1: id });
    return {
      execute: async (...command) => {
        const result = await this.#call("RuntimeService/ExecSync", { 1: id, 2: command, 3: 10 });
        const code = result.get(3);
        if (code !== undefined && code !== 0) throw new Error(`${command.join(" ")} ended with ${code}`);
        return text(result.get(1));
      },
      remove: async () => {
        await this.#call("RuntimeService/StopPodSandbox", { 1: pod });
        await this.#call("RuntimeService/RemovePodSandbox", { 1: pod });
      },
    };
  }

  close(): void {
    this.#session.destroy();
  }

  /** gRPC: one message out, one back. Spec: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md */
  #call(method: string, message: Message): Promise<Map<number, Buffer | number>> {
    const body = encode(message);
    const framed = Buffer.alloc(5 + body.length);
    framed.writeUInt32BE(body.length, 1);
    body.copy(framed, 5);
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({
        ":method": "POST",
        ":path": `/runtime.v1.${method}`,
        "content-type": "application/grpc",
        te: "trailers",
      });
      const chunks: Buffer[] = [];
      let said: Record<string, unknown> = {};
      const hear = (headers: Record<string, unknown>) => {
        said = { ...said, ...headers };
      };
      stream.on("response", hear);
      stream.on("trailers", hear);
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("error", reject);
      stream.on("end", () => {
        if (said["grpc-status"] === "0") resolve(decode(Buffer.concat(chunks).subarray(5)));
        else
          reject(new Error(`${method}: ${decodeURIComponent(String(said["grpc-message"] ?? "no answer"))}`));
      });
      stream.end(framed);
    });
  }
}

export interface Pod {
  /** What a command in its container prints. */
  execute(...command: string[]): Promise<string>;
  remove(): Promise<void>;
}

function text(value: Buffer | number | undefined): string {
  return Buffer.isBuffer(value) ? value.toString() : "";
}
