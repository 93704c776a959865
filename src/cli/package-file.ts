import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** Path of this package's `package.json`, in a clone and in an installed package alike. */
export const packageFile = require.resolve('agent-context-cache/package.json');

/** Version of this package. */
export const packageVersion = (require(packageFile) as { version: string }).version;
