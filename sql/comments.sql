--
-- What the extension makes is described: all that a user can call or read.
--
SELECT p.oid::regprocedure AS function FROM pg_proc p
	WHERE pronamespace = 'streamproc'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL;
-- views that hold expressions belong to users' objects, and are no part of the extension; nor is what a table is made of
SELECT c.oid::regclass AS relation FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
	WHERE obj_description(c.oid, 'pg_class') IS NULL AND relkind <> 'i'
		AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_class'::regclass AND i.objid = c.oid AND i.deptype = 'i' AND i.refclassid = 'pg_class'::regclass);
SELECT c.oid::regclass AS view, attname AS column FROM pg_class c JOIN pg_attribute ON attrelid = c.oid
		JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
	WHERE relkind = 'v' AND attnum > 0 AND col_description(c.oid, attnum) IS NULL ORDER BY 1, attnum;
SELECT pg_describe_object(classid, objid, objsubid) AS object FROM pg_depend JOIN pg_extension e ON refclassid = 'pg_extension'::regclass AND refobjid = e.oid
	WHERE extname = 'streamproc' AND deptype = 'e' AND classid NOT IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_type'::regclass)
		AND obj_description(objid, classid::regclass::name) IS NULL;
-- it is all there
SELECT count(*) > 30 AS functions FROM pg_proc WHERE pronamespace = 'streamproc'::regnamespace;
SELECT obj_description('streamproc.status'::regclass) IS NOT NULL AS status;
