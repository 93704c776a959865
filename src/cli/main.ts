#!/usr/bin/env node
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(
    `error: context-cache needs Node 20.19 or newer; this is ${process.versions.node}. Install one.\n`,
  );
  process.exit(1);
}
// What it makes is for this user alone, LevelDB's files from the first moment on.
process.umask(0o077);
// Imported only now: an older Node might not even read it.
const { run } = await import('./run.ts');
process.exitCode = await run(process.argv.slice(2));

export {};
