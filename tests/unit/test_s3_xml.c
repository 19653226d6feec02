/* SPDX-License-Identifier: Apache-2.0 */
/* S3's XML answers, as several servers write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/http/xml.h"
#include "tiers/s3/s3.h"

#define NS " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""
#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

static struct buf text_of(const char *s)
{
	struct buf b = {0};

	buf_adds(&b, s);
	return b;
}

static int page_of(const char *s, struct s3_page *page)
{
	CLEANUP_BUF struct buf b = text_of(s);

	return s3_xml_page(&b, page, NULL);
}

/* Keys and prefixes come in one order of bytes, whatever order the answer has. */
static void test_page(void **state)
{
	struct s3_page page;

	assert_int_equal(
		page_of(HEAD
			"<ListBucketResult" NS "><CommonPrefixes><Prefix>a/</Prefix>"
			"</CommonPrefixes><IsTruncated>true</IsTruncated>"
			"<Contents><ETag>&quot;e2&quot;</ETag><Size>7</Size><Key>a0</Key>"
			"<LastModified>2015-10-21T07:28:00.000Z</LastModified></Contents>"
			"<Contents><Key>a-&amp;b</Key><ETag>e1</ETag><Size>0</Size><Owner><ID>x"
			"</ID></Owner></Contents><NextContinuationToken>tok</NextContinuationToken>"
			"</ListBucketResult>",
			&page),
		0);
	assert_int_equal(page.n, 3);
	assert_string_equal(page.v[0].key, "a-&b");
	assert_string_equal(page.v[0].etag, "\"e1\"");
	assert_true(page.v[1].prefix);
	assert_string_equal(page.v[1].key, "a/");
	assert_string_equal(page.v[2].key, "a0");
	assert_string_equal(page.v[2].etag, "\"e2\"");
	assert_int_equal(page.v[2].size, 7);
	assert_int_equal(page.v[2].modified_ns, 1445412480LL * 1000000000LL);
	assert_string_equal(page.token, "tok");
	s3_page_release(&page);
}

/* Names are decoded only where the answer says that they are encoded. */
static void test_page_encoding(void **state)
{
	struct s3_page page;
#define ENTRY "<Contents><Key>a%2Bb+c</Key><ETag>e</ETag><Size>1</Size></Contents>"

	assert_int_equal(page_of("<ListBucketResult>" ENTRY "<IsTruncated>false</IsTruncated>"
				 "<EncodingType>url</EncodingType></ListBucketResult>",
				 &page),
			 0);
	assert_string_equal(page.v[0].key, "a+b c");
	assert_null(page.token);
	s3_page_release(&page);
	assert_int_equal(page_of("<ListBucketResult><IsTruncated>false</IsTruncated>" ENTRY
				 "</ListBucketResult>",
				 &page),
			 0);
	assert_string_equal(page.v[0].key, "a%2Bb+c");
	s3_page_release(&page);
}

/* What could be taken for a complete listing, and is none, is refused: absence follows from it. */
static void test_page_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"<html><body>404</body></html>",
		"<Error><Code>SlowDown</Code></Error>",
		"<ListBucketResult></ListBucketResult>",
		"<ListBucketResult><IsTruncated>false</IsTruncated>",
		"<ListBucketResult><IsTruncated>maybe</IsTruncated></ListBucketResult>",
		"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
		"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key>"
		"<Size>1</Size></Contents></ListBucketResult>",
		"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key>"
		"<ETag>e</ETag></Contents></ListBucketResult>",
		"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key>"
		"<ETag>e</ETag><Size>-1</Size></Contents></ListBucketResult>",
		"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>x",
	};
	struct s3_page page;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (page_of(bad[i], &page) != -EBADMSG)
			fail_msg("taken: \"%s\"", bad[i]);
	}
}

/* An entry whose etag is empty is shown, and the others with it. */
static void test_page_empty_etag(void **state)
{
	struct s3_page page;

	assert_int_equal(
		page_of("<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key>"
			"<ETag></ETag><Size>1</Size></Contents></ListBucketResult>",
			&page),
		0);
	assert_int_equal(page.n, 1);
	assert_string_equal(page.v[0].etag, "");
	s3_page_release(&page);
}

/* No declaration is read, so there is no entity to expand and no file to fetch. */
static void test_no_doctype(void **state)
{
	const struct xml_reader reader = {0};
	static const char bomb[] =
		"<!DOCTYPE a [<!ENTITY x \"xx\"><!ENTITY y \"&x;&x;\">]><a>&y;</a>";
	static const char external[] = "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>";
	struct err err = {0};

	assert_int_equal(xml_walk(bomb, strlen(bomb), &reader, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "document type"));
	assert_int_equal(xml_walk(external, strlen(external), &reader, &err), -EBADMSG);
}

/* Depth and text have limits. */
static void test_limits(void **state)
{
	const struct xml_reader reader = {0};
	CLEANUP_BUF struct buf deep = {0};
	CLEANUP_BUF struct buf wide = {0};

	for (int i = 0; i <= XML_DEPTH_MAX; i++)
		buf_adds(&deep, "<a>");
	for (int i = 0; i <= XML_DEPTH_MAX; i++)
		buf_adds(&deep, "</a>");
	assert_int_equal(xml_walk(deep.data, deep.len, &reader, NULL), -EBADMSG);
	buf_adds(&wide, "<a>");
	for (int i = 0; i <= XML_TEXT_MAX; i++)
		buf_addc(&wide, 'x');
	buf_adds(&wide, "</a>");
	assert_int_equal(xml_walk(wide.data, wide.len, &reader, NULL), -EBADMSG);
}

/* Where an answer gives the etag of what was made, it is found; an Error is not taken for one. */
static void test_etag_answers(void **state)
{
	static const char *const good[] = {
		"<CopyObjectResult><LastModified>x</LastModified><ETag>&#34;e&#34;</ETag></"
		"CopyObjectResult>",
		"<CopyPartResult><ETag>e</ETag></CopyPartResult>",
		"<s3:CompleteMultipartUploadResult xmlns:s3=\"u\"><s3:ETag>\"e\"</s3:ETag>"
		"</s3:CompleteMultipartUploadResult>",
	};
	char etag[ETAG_MAX];
	struct buf b;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		b = text_of(good[i]);
		assert_int_equal(s3_xml_etag(&b, etag, NULL), 0);
		assert_string_equal(etag, "\"e\"");
		buf_release(&b);
	}
	b = text_of("<Error><Code>InternalError</Code><ETag>e</ETag></Error>");
	assert_int_equal(s3_xml_etag(&b, etag, NULL), -EBADMSG);
	buf_release(&b);
}

/* An Error's words, whatever else it tells. */
static void test_error(void **state)
{
	struct s3_fault fault = {0};
	struct buf b = text_of(HEAD
			       "<Error><RequestId>r</RequestId><Message>no &lt;such&gt;</Message>"
			       "<Region>eu-west-1</Region><Code>AuthorizationHeaderMalformed"
			       "</Code></Error>");

	assert_true(s3_xml_error(&b, &fault));
	assert_string_equal(fault.name, "AuthorizationHeaderMalformed");
	assert_string_equal(fault.message, "no <such>");
	assert_string_equal(fault.region, "eu-west-1");
	buf_release(&b);
	b = text_of("<html><Error><Code>NoSuchKey</Code></Error></html>");
	assert_false(s3_xml_error(&b, &fault));
	buf_release(&b);
}

static int collect(void *arg, const char *key, const char *name)
{
	buf_addf(arg, "%s=%s;", key, name ? name : "ok");
	return 0;
}

/* Each name of a DeleteResult is told once, with its error. */
static void test_deleted(void **state)
{
	CLEANUP_BUF struct buf told = {0};
	struct buf b = text_of(
		"<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Code>AccessDenied"
		"</Code><Key>b&#10;c</Key></Error><Error><Key>d</Key></Error>"
		"</DeleteResult>");

	assert_int_equal(s3_xml_deleted(&b, collect, &told, NULL), 0);
	assert_string_equal(told.data, "a=ok;b\nc=AccessDenied;d=;");
	buf_release(&b);
}

/* Uploads that are listed, with the marks to go on from. */
static void test_uploads(void **state)
{
	struct s3_uploads u;
	struct buf b = text_of(
		"<ListMultipartUploadsResult><NextKeyMarker>k</NextKeyMarker><Upload>"
		"<UploadId>1</UploadId><Key>a</Key><Initiated>2015-10-21T07:28:00Z"
		"</Initiated></Upload><Upload><Key>b</Key><UploadId>2</UploadId></Upload>"
		"<IsTruncated>true</IsTruncated><NextUploadIdMarker>2</NextUploadIdMarker>"
		"</ListMultipartUploadsResult>");

	assert_int_equal(s3_xml_uploads(&b, &u, NULL), 0);
	assert_int_equal(u.n, 2);
	assert_string_equal(u.v[0].id, "1");
	assert_int_equal(u.v[0].initiated_ns, 1445412480LL * 1000000000LL);
	assert_int_equal(u.v[1].initiated_ns, 0);
	assert_true(u.truncated);
	assert_string_equal(u.next_key, "k");
	s3_uploads_release(&u);
	buf_release(&b);
}

/* What is written can be read: markup and line ends survive. */
static void test_escape(void **state)
{
	CLEANUP_BUF struct buf b = {0};

	xml_escape(&b, "a<b>&\"\r\n\t'", 10);
	assert_string_equal(b.data, "a&lt;b&gt;&amp;&quot;&#13;&#10;&#9;'");
}

/* What XML cannot say must be known before: such names go another way. */
static void test_can_hold(void **state)
{
	assert_true(xml_can_hold("a\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 11));
	assert_false(xml_can_hold("\x01", 1));
	assert_false(xml_can_hold("\0", 1));
	assert_false(xml_can_hold("\xc3", 1));
	assert_false(xml_can_hold("\xff\xfe", 2));
	assert_false(xml_can_hold("\xc0\xaf", 2));	   /* overlong */
	assert_false(xml_can_hold("\xed\xa0\x80", 3));	   /* surrogate */
	assert_false(xml_can_hold("\xef\xbf\xbf", 3));	   /* U+FFFF */
	assert_false(xml_can_hold("\xf4\x90\x80\x80", 4)); /* beyond Unicode */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_page),	     cmocka_unit_test(test_page_encoding),
		cmocka_unit_test(test_page_refused), cmocka_unit_test(test_page_empty_etag),
		cmocka_unit_test(test_no_doctype),   cmocka_unit_test(test_limits),
		cmocka_unit_test(test_etag_answers), cmocka_unit_test(test_error),
		cmocka_unit_test(test_deleted),	     cmocka_unit_test(test_uploads),
		cmocka_unit_test(test_escape),	     cmocka_unit_test(test_can_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
