/* commands_server.h: handlers that have files of their own: INFO, COMMAND, TABLE PLAN. */
#ifndef MERIDIAN_NODE_COMMANDS_SERVER_H
#define MERIDIAN_NODE_COMMANDS_SERVER_H

#include "node/command.h"

/* commands_info.c */
enum command_result info_on_info(struct request *request);

/* commands_command.c */
enum command_result command_on_command(struct request *request);
enum command_result command_on_count(struct request *request);
enum command_result command_on_docs(struct request *request);
enum command_result command_on_getkeys(struct request *request);
enum command_result command_on_info(struct request *request);
enum command_result command_on_list(struct request *request);

/* commands_plan.c */
enum command_result plan_on_plan(struct request *request);

#endif
