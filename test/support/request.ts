import { Admission } from '../../src/core/admission.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import { createValueCheck } from '../../src/core/schemas.ts';

/** Admission with default limits and no schemas. */
export const door = new Admission(DEFAULT_LIMITS, createValueCheck(undefined));
