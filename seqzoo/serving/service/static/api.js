// Requests to the service, at addresses relative to the page's own.

const TOKEN = "seqzoo-token";

export class ServiceError extends Error {
  constructor(status, type, message) {
    super(message);
    this.status = status;
    this.type = type;
  }
}

export function useToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

export async function ask(path, body, signal) {
  const headers = {};
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.authorization = `Bearer ${token}`;
  const options = { headers, signal };
  if (body !== undefined) {
    options.method = "POST";
    options.body = JSON.stringify(body);
    headers["content-type"] = "application/json";
  }
  let answer;
  let content;
  try {
    answer = await fetch(`v1/${path}`, options);
    content = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError(0, "unreachable", "the service cannot be reached");
  }
  if (!answer.ok) {
    const { type = "unknown", message = `status ${answer.status}` } = content.error ?? {};
    throw new ServiceError(answer.status, type, message);
  }
  return content;
}
