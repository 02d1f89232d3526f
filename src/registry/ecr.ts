const PRIVATE =
  /^\d+\.dkr(?:\.ecr|-ecr)(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)(?::443)?$/;
const PUBLIC = /^public\.ecr\.aws(?::443)?$/;

/** Whether this is Amazon ECR, which as a rule creates no repository by itself. `host` as references name it. */
export function isEcr(host: string): boolean {
  return PRIVATE.test(host) || PUBLIC.test(host);
}

/** The command that creates a repository; undefined where the host is not Amazon ECR. */
export function createCommand(host: string, repository: string): string | undefined {
  const region = PRIVATE.exec(host)?.[1];
  if (region !== undefined) {
    return `aws ecr create-repository --repository-name ${repository} --region ${region}`;
  }
  if (!PUBLIC.test(host)) return;
  // The first segment is the alias of the account's public registry. The one API endpoint is in us-east-1.
  const name = repository.slice(repository.indexOf("/") + 1);
  return `aws ecr-public create-repository --repository-name ${name} --region us-east-1`;
}

/** The command that logs in, for 12 hours; undefined where the host is not Amazon ECR. */
export function loginCommand(host: string): string | undefined {
  const region = PRIVATE.exec(host)?.[1];
  if (region === undefined && !PUBLIC.test(host)) return;
  const password =
    region === undefined
      ? "aws ecr-public get-login-password --region us-east-1"
      : `aws ecr get-login-password --region ${region}`;
  return `${password} | docker login --username AWS --password-stdin ${host}`;
}
