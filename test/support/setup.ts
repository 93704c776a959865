import { afterEach } from 'vitest';
import { cleanUp } from './clean-up.ts';

// Runs for each file, also if files share their modules: a hook belongs to the file that is being loaded.
afterEach(cleanUp);
