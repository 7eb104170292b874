/* A library that, as pgaudit does, wants to know of each function that is executed: it writes it to the server's log. */
#include "postgres.h"

#include "catalog/objectaccess.h"
#include "fmgr.h"
#include "miscadmin.h"

PG_MODULE_MAGIC;

static object_access_hook_type previous;

static void
watch(ObjectAccessType access, Oid class_id, Oid object, int part, void *argument)
{
	if (previous)
		previous(access, class_id, object, part, argument);
	if (access == OAT_FUNCTION_EXECUTE)
		ereport(LOG, (errmsg("watched: function %u", object), errhidestmt(true)));
}

void
_PG_init(void)
{
	previous = object_access_hook;
	object_access_hook = watch;
}
