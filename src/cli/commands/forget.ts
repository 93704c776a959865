import type { Command } from 'commander';
import type { ForgetOptions, ForgetReport, SubjectInfo } from '../../types.ts';
import { originOptions, yesOption } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { openTarget } from '../target.ts';
import { confirm, type YesFlag } from '../terminal/confirm.ts';
import { shownAmount, shownName, shownTime } from '../terminal/format.ts';
import { given } from './values.ts';

type ForgetFlags = YesFlag & ForgetOptions;

/** `forget` and `subjects`: whom values are about, and who is forgotten. */
export function addForget(program: Command, session: Session): void {
  const forget = program
    .command('forget')
    .description('destroy the key of a subject, so that nothing about it can be read any more, in backups neither')
    .argument('<subject>', 'the subject that values were written with')
    .option('--reason <text>', 'why; stays readable in the log');
  for (const option of originOptions('agent that forgets')) forget.addOption(option);
  forget.addOption(yesOption());
  const subjects = program
    .command('subjects')
    .description('print the subjects of values, and those that were forgotten');
  example(forget, 'forget user-42 --reason "asked on 3 May" --subject-keys ~/subject.keys', 'forget user-42 --yes');
  example(subjects, 'subjects --subject-keys ~/subject.keys', 'subjects --json');
  does<ForgetFlags>(session, forget, runForget);
  does(session, subjects, printSubjects);
}

async function runForget(context: Context<ForgetFlags>): Promise<undefined> {
  const { output, dataDir, options, args } = context;
  const { reason, agent, meta, operationId } = options;
  const [subject = ''] = args;
  await confirm(context, `forget makes every value about ${shownName(subject)} unreadable for ever`);
  await using target = await openTarget({ dataDir, output });
  const written = given({ reason, agent, meta, operationId });
  const report = (await target.ask({ type: 'subjects.forget', subject, ...written })) as ForgetReport;
  const { entries, namespaces, published, publishedSince, position } = report;
  const where = namespaces.length === 0 ? '' : ` in ${namespaces.map(shownName).join(', ')}`;
  await output.result(
    report,
    `${shownName(subject)} is forgotten: ${shownAmount(entries, 'entry', 'entries')}${where}, position ${position}.`,
  );
  for (const { topic, updates, positions } of published) {
    const first = positions.slice(0, 10).join(', ');
    const more = updates > 10 ? ' …' : '';
    output.message(
      `Published to ${topic} since position ${publishedSince}: ${shownAmount(updates, 'update')}, at ${first}${more}`,
    );
  }
}

async function printSubjects({ output, dataDir }: Context<unknown>): Promise<undefined> {
  await using target = await openTarget({ dataDir, output });
  for (const each of (await target.ask({ type: 'subjects.list' })) as SubjectInfo[]) {
    const { subject, forgottenAt, reason, agent } = each;
    const by = agent === undefined ? '' : ` by ${agent}`;
    const why = reason === undefined ? '' : `: ${reason}`;
    const state = forgottenAt === null ? '' : `  forgotten ${shownTime(forgottenAt)}${by}${why}`;
    await output.result(each, `${shownName(subject)}${state}`);
  }
}
