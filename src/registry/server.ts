import { type Endpoint, parseEndpoint } from "./endpoint.ts";
import { errorBody, RegistryError } from "./errors.ts";
import { answerRead, isRead } from "./server-read.ts";
import { answerWrite } from "./server-write.ts";
import type { RegistryContent, RegistryStore } from "./store.ts";

/** For `Bun.serve`, which must be told not to limit the size of a body. */
export type Handler = (request: Request) => Promise<Response>;

/** A whole registry: distribution-spec's pull, push, content discovery and content management. */
export function registryHandler(store: RegistryStore): Handler {
  return handler((endpoint, request) =>
    isRead(endpoint) ? answerRead(store, endpoint, request) : answerWrite(store, endpoint, request),
  );
}

/** Pull and content discovery only. */
export function readOnlyHandler(content: RegistryContent): Handler {
  return handler((endpoint, request) => {
    if (isRead(endpoint)) return answerRead(content, endpoint, request);
    throw new RegistryError("UNSUPPORTED", "this registry is read-only");
  });
}

function handler(answer: (endpoint: Endpoint, request: Request) => Promise<Response>): Handler {
  return async (request) => {
    const response = await answered(answer, request);
    // Clients of Docker's age take a host for a registry by this header alone.
    response.headers.set("Docker-Distribution-Api-Version", "registry/2.0");
    return response;
  };
}

async function answered(
  answer: (endpoint: Endpoint, request: Request) => Promise<Response>,
  request: Request,
): Promise<Response> {
  try {
    const endpoint = parseEndpoint(request.method, new URL(request.url));
    if (endpoint === undefined) return new Response("404 page not found\n", { status: 404 });
    return await answer(endpoint, request);
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    const { code, message, detail, status } = error;
    const headers = { "Content-Type": "application/json" };
    return new Response(errorBody(code, message, detail), { status, headers });
  }
}
