import { Admission } from '../core/admission.ts';
import { limitsOf } from '../core/limits.ts';
import { createValueCheck } from '../core/schemas.ts';
import type { SubjectDoor } from '../core/sealed.ts';
import type { WriteRights } from '../core/write-rights.ts';
import type { EngineOptions } from './options.ts';

/** Creates the checks of commands with the limits and schemas of a cache. */
export function admissionOf({ limits, schemas }: EngineOptions, subjects: SubjectDoor, rights: WriteRights): Admission {
  return new Admission(limitsOf(limits), createValueCheck(schemas), subjects, rights);
}
